"""The literature behind the project: each work that code cites by author and year, once, and no other.

Cues cite theirs in :attr:`features.spec.Column.reference` and in the docstring of their family; everything else in
docstrings and comments. The test of this module holds both ways: a citation without an entry fails, and an entry that
nothing cites.
"""

from __future__ import annotations

import inspect
import re
from collections.abc import Iterable

_NAME = r"(?:(?:[vd](?:an|er|en|e|on)|ten) )*[A-Z][a-zà-ž]\w*(?:-[A-Z]\w+)?"
CITATION = re.compile(rf"\b({_NAME})(?:,? et al\.|(?:, {_NAME})* (?:&|and) {_NAME})?,? \(?((?:19|20)\d\d)\b")
"""First author and year of "Soukupova & Cech 2016", "Li et al. 2018" or "Platt 1999" within a longer text."""

CUES = {
    "Agarwal et al. 2020": "S. Agarwal, H. Farid, O. Fried, M. Agrawala: Detecting Deep-Fake Videos from "
    "Phoneme-Viseme Mismatches. CVPR Workshops, 2020.",
    "Bentivoglio 1997": "A. R. Bentivoglio, S. B. Bressman, E. Cassetta, D. Carretta, P. Tonali, A. Albanese: "
    "Analysis of blink rate patterns in normal subjects. Movement Disorders 12(6), 1997.",
    "Bonettini et al. 2020": "N. Bonettini, P. Bestagini, S. Milani, S. Tubaro: On the use of Benford's law to "
    "detect GAN-generated images. ICPR, 2020.",
    "Chai et al. 2020": "L. Chai, D. Bau, S.-N. Lim, P. Isola: What makes fake images detectable? Understanding "
    "properties that generalize. ECCV 2020.",
    "Chung & Zisserman 2016": "J. S. Chung, A. Zisserman: Out of time: automated lip sync in the wild. ACCV "
    "Workshops, 2016.",
    "Crete et al. 2007": "F. Crete, T. Dolmiere, P. Ladret, M. Nicolas: The blur effect: perception and estimation "
    "with a new no-reference perceptual blur metric. SPIE Human Vision and Electronic Imaging XII, 2007.",
    "Durall et al. 2019": "R. Durall, M. Keuper, F.-J. Pfreundt, J. Keuper: Unmasking DeepFakes with simple "
    "Features. arXiv:1911.00686, 2019.",
    "Haralick et al. 1973": "R. M. Haralick, K. Shanmugam, I. Dinstein: Textural Features for Image Classification. "
    "IEEE Transactions on Systems, Man, and Cybernetics 3(6), 1973.",
    "Hotelling 1936": "H. Hotelling: Relations between two sets of variates. Biometrika 28, 1936.",
    "Houtgast & Steeneken 1985": "T. Houtgast, H. J. M. Steeneken: A review of the MTF concept in room acoustics and "
    "its use for estimating speech intelligibility in auditoria. Journal of the Acoustical Society of America 77(3), "
    "1985.",
    "Hu et al. 2021": "S. Hu, Y. Li, S. Lyu: Exposing GAN-Generated Faces Using Inconsistent Corneal Specular "
    "Highlights. ICASSP, 2021.",
    "Immerkaer 1996": "J. Immerkær: Fast Noise Variance Estimation. Computer Vision and Image Understanding 64(2), "
    "1996.",
    "Krawetz 2007": "N. Krawetz: A Picture's Worth: Digital Image Analysis and Forensics. Black Hat Briefings, 2007.",
    "Laws 1980": "K. I. Laws: Rapid Texture Identification. SPIE Image Processing for Missile Guidance, 1980.",
    "Li & Lyu 2019": "Y. Li, S. Lyu: Exposing DeepFake Videos By Detecting Face Warping Artifacts. CVPR Workshops, "
    "2019.",
    "Kawa et al. 2023": "P. Kawa, M. Plata, M. Czuba, P. Szymański, P. Syga: Improved DeepFake Detection Using Whisper "
    "Features. Interspeech, 2023.",
    "Li et al. 2018": "Y. Li, M.-C. Chang, S. Lyu: In Ictu Oculi: Exposing AI Created Fake Videos by Detecting Eye "
    "Blinking. IEEE WIFS, 2018.",
    "Liu et al. 2023": "B. Liu, B. Liu, M. Ding, T. Zhu, X. Yu: TI2Net: Temporal Identity Inconsistency Network for "
    "Deepfake Detection. WACV, 2023.",
    "Matern et al. 2019": "F. Matern, C. Riess, M. Stamminger: Exploiting Visual Artifacts to Expose Deepfakes and "
    "Face Manipulations. IEEE WACV Workshops, 2019.",
    "Ojala et al. 2002": "T. Ojala, M. Pietikäinen, T. Mäenpää: Multiresolution Gray-Scale and Rotation Invariant "
    "Texture Classification with Local Binary Patterns. IEEE Transactions on Pattern Analysis and Machine "
    "Intelligence 24(7), 2002.",
    "Popescu & Farid 2005": "A. C. Popescu, H. Farid: Exposing Digital Forgeries in Color Filter Array Interpolated "
    "Images. IEEE Transactions on Signal Processing 53(10), 2005.",
    "Sahidullah et al. 2015": "M. Sahidullah, T. Kinnunen, C. Hanilçi: A Comparison of Features for Synthetic Speech "
    "Detection. Interspeech, 2015.",
    "Shannon 1948": "C. E. Shannon: A Mathematical Theory of Communication. Bell System Technical Journal 27, 1948.",
    "Shiohara & Yamasaki 2022": "K. Shiohara, T. Yamasaki: Detecting Deepfakes with Self-Blended Images. CVPR, 2022.",
    "Slaney & Covell 2000": "M. Slaney, M. Covell: FaceSync: A Linear Operator for Measuring Synchronization of "
    "Video Facial Images and Audio Tracks. NIPS 13, 2000.",
    "Schonemann 1966": "P. H. Schönemann: A generalized solution of the orthogonal Procrustes problem. Psychometrika "
    "31(1), 1966.",
    "Soukupova & Cech 2016": "T. Soukupová, J. Čech: Real-Time Eye Blink Detection using Facial Landmarks. Computer "
    "Vision Winter Workshop, 2016.",
    "Sun et al. 2021": "Z. Sun, Y. Han, Z. Hua, N. Ruan, W. Jia: Improving the Efficiency and Robustness of "
    "Deepfakes Detection through Precise Geometric Features. CVPR, 2021.",
    "Yang et al. 2019": "X. Yang, Y. Li, S. Lyu: Exposing Deep Fakes Using Inconsistent Head Poses. ICASSP, 2019.",
    "Zhao & Pietikainen 2007": "G. Zhao, M. Pietikäinen: Dynamic Texture Recognition Using Local Binary Patterns "
    "with an Application to Facial Expressions. IEEE Transactions on Pattern Analysis and Machine Intelligence "
    "29(6), 2007.",
}
"""Behind the cue families: the literature of docs/CUES.md, and of a report the part that its families cite."""

METHODS = {
    "Adebayo et al. 2018": "J. Adebayo, J. Gilmer, M. Muelly, I. Goodfellow, M. Hardt, B. Kim: Sanity Checks for "
    "Saliency Maps. NeurIPS, 2018.",
    "Bazarevsky et al. 2019": "V. Bazarevsky, Y. Kartynnik, A. Vakunov, K. Raveendran, M. Grundmann: BlazeFace: "
    "Sub-millisecond Neural Face Detection on Mobile GPUs. arXiv:1907.05047, 2019.",
    "Breiman 1996": "L. Breiman: Stacked regressions. Machine Learning 24, 1996.",
    "Breiman 2001": "L. Breiman: Random Forests. Machine Learning 45, 2001.",
    "Brier 1950": "G. W. Brier: Verification of forecasts expressed in terms of probability. Monthly Weather Review "
    "78, 1950.",
    "Caruana et al. 2004": "R. Caruana, A. Niculescu-Mizil, G. Crew, A. Ksikes: Ensemble Selection from Libraries of "
    "Models. ICML, 2004.",
    "Chen & Guestrin 2016": "T. Chen, C. Guestrin: XGBoost: A Scalable Tree Boosting System. KDD, 2016.",
    "Dolhansky et al. 2020": "B. Dolhansky, J. Bitton, B. Pflaum, J. Lu, R. Howes, M. Wang, C. Canton Ferrer: The "
    "DeepFake Detection Challenge (DFDC) Dataset. arXiv:2006.07397, 2020.",
    "Efron & Tibshirani 1993": "B. Efron, R. J. Tibshirani: An Introduction to the Bootstrap. Chapman & Hall, 1993.",
    "Fridrich & Kodovsky 2012": "J. Fridrich, J. Kodovský: Rich Models for Steganalysis of Digital Images. IEEE "
    "Transactions on Information Forensics and Security 7(3), 2012.",
    "Geurts et al. 2006": "P. Geurts, D. Ernst, L. Wehenkel: Extremely randomized trees. Machine Learning 63, 2006.",
    "Gorishniy et al. 2022": "Y. Gorishniy, I. Rubachev, A. Babenko: On Embeddings for Numerical Features in "
    "Tabular Deep Learning. NeurIPS, 2022.",
    "Gregorutti et al. 2015": "B. Gregorutti, B. Michel, P. Saint-Pierre: Grouped variable importance with random "
    "forests and application to multiple functional data analysis. Computational Statistics & Data Analysis 90, "
    "2015.",
    "Hendrycks & Gimpel 2016": "D. Hendrycks, K. Gimpel: Gaussian Error Linear Units (GELUs). arXiv:1606.08415, 2016.",
    "Huang et al. 2016": "G. Huang, Y. Sun, Z. Liu, D. Sedra, K. Q. Weinberger: Deep Networks with Stochastic Depth. "
    "ECCV, 2016.",
    "Kazemi & Sullivan 2014": "V. Kazemi, J. Sullivan: One Millisecond Face Alignment with an Ensemble of Regression "
    "Trees. CVPR, 2014.",
    "Ke et al. 2017": "G. Ke, Q. Meng, T. Finley, T. Wang, W. Chen, W. Ma, Q. Ye, T.-Y. Liu: LightGBM: A Highly "
    "Efficient Gradient Boosting Decision Tree. NIPS, 2017.",
    "King 2017": "D. E. King: High Quality Face Recognition with Deep Metric Learning. dlib blog, February 2017.",
    "Krichevsky & Trofimov 1981": "R. E. Krichevsky, V. K. Trofimov: The Performance of Universal Encoding. IEEE "
    "Transactions on Information Theory 27(2), 1981.",
    "Kiers & ten Berge 1992": "H. A. L. Kiers, J. M. F. ten Berge: Minimization of a class of matrix trace functions "
    "by means of refined majorization. Psychometrika 57(3), 1992.",
    "Kull et al. 2017": "M. Kull, T. M. Silva Filho, P. Flach: Beta calibration: a well-founded and easily "
    "implemented improvement on logistic calibration for binary classifiers. AISTATS, 2017.",
    "Liu 2020": "R. Liu: Higher accuracy on vision models with EfficientNet-Lite. TensorFlow Blog, March 2020.",
    "Loshchilov & Hutter 2019": "I. Loshchilov, F. Hutter: Decoupled Weight Decay Regularization. ICLR, 2019.",
    "Lundberg et al. 2020": "S. M. Lundberg et al.: From local explanations to global understanding with explainable "
    "AI for trees. Nature Machine Intelligence 2, 2020.",
    "Mastrandrea et al. 2010": "M. D. Mastrandrea et al.: Guidance Note for Lead Authors of the IPCC Fifth "
    "Assessment Report on Consistent Treatment of Uncertainties. IPCC, 2010.",
    "Niculescu-Mizil & Caruana 2005": "A. Niculescu-Mizil, R. Caruana: Predicting Good Probabilities With Supervised "
    "Learning. ICML, 2005.",
    "Nixon et al. 2019": "J. Nixon, M. W. Dusenberry, L. Zhang, G. Jerfel, D. Tran: Measuring Calibration in Deep "
    "Learning. CVPR Workshops, 2019.",
    "Park et al. 2019": "D. S. Park, W. Chan, Y. Zhang, C.-C. Chiu, B. Zoph, E. D. Cubuk, Q. V. Le: SpecAugment: A "
    "Simple Data Augmentation Method for Automatic Speech Recognition. Interspeech, 2019.",
    "Pearl 1988": "J. Pearl: Probabilistic Reasoning in Intelligent Systems. Morgan Kaufmann, 1988.",
    "Platt 1999": "J. C. Platt: Probabilistic Outputs for Support Vector Machines and Comparisons to Regularized "
    "Likelihood Methods. In: Advances in Large Margin Classifiers. MIT Press, 1999.",
    "Radford et al. 2022": "A. Radford, J. W. Kim, T. Xu, G. Brockman, C. McLeavey, I. Sutskever: Robust Speech "
    "Recognition via Large-Scale Weak Supervision. arXiv:2212.04356, 2022.",
    "Rahimi & Recht 2007": "A. Rahimi, B. Recht: Random Features for Large-Scale Kernel Machines. NIPS 20, 2007.",
    "Saerens et al. 2002": "M. Saerens, P. Latinne, C. Decaestecker: Adjusting the Outputs of a Classifier to New a "
    "Priori Probabilities. Neural Computation 14(1), 2002.",
    "Sandler et al. 2018": "M. Sandler, A. Howard, M. Zhu, A. Zhmoginov, L.-C. Chen: MobileNetV2: Inverted Residuals "
    "and Linear Bottlenecks. CVPR, 2018.",
    "Smith & Topin 2018": "L. N. Smith, N. Topin: Super-Convergence: Very Fast Training of Neural Networks Using Large "
    "Learning Rates. arXiv:1708.07120, 2018.",
    "Srivastava et al. 2014": "N. Srivastava, G. Hinton, A. Krizhevsky, I. Sutskever, R. Salakhutdinov: Dropout: A "
    "Simple Way to Prevent Neural Networks from Overfitting. Journal of Machine Learning Research 15, 2014.",
    "Sundararajan et al. 2017": "M. Sundararajan, A. Taly, Q. Yan: Axiomatic Attribution for Deep Networks. ICML, "
    "2017.",
    "Tan & Le 2019": "M. Tan, Q. V. Le: EfficientNet: Rethinking Model Scaling for Convolutional Neural Networks. "
    "ICML, 2019.",
    "Tomasi & Kanade 1992": "C. Tomasi, T. Kanade: Shape and Motion from Image Streams under Orthography: a "
    "Factorization Method. International Journal of Computer Vision 9(2), 1992.",
    "Umeyama 1991": "S. Umeyama: Least-Squares Estimation of Transformation Parameters Between Two Point Patterns. "
    "IEEE TPAMI 13(4), 1991.",
    "van der Waerden 1952": "B. L. van der Waerden: Order tests for the two-sample problem and their power. "
    "Indagationes Mathematicae 14, 1952.",
    "Vovk & Petej 2014": "V. Vovk, I. Petej: Venn-Abers Predictors. UAI, 2014.",
    "Williams & Seeger 2001": "C. K. I. Williams, M. Seeger: Using the Nyström Method to Speed Up Kernel Machines. "
    "NIPS 13, 2001.",
    "Wortsman et al. 2022": "M. Wortsman et al.: Model soups: averaging weights of multiple fine-tuned models "
    "improves accuracy without increasing inference time. ICML, 2022; and Robust fine-tuning of zero-shot models. "
    "CVPR, 2022.",
    "Zadrozny & Elkan 2002": "B. Zadrozny, C. Elkan: Transforming Classifier Scores into Accurate Multiclass "
    "Probability Estimates. KDD, 2002.",
    "Torralba & Efros 2011": "A. Torralba, A. A. Efros: Unbiased Look at Dataset Bias. CVPR, 2011.",
    "Zeiler & Fergus 2014": "M. D. Zeiler, R. Fergus: Visualizing and Understanding Convolutional Networks. ECCV, "
    "2014.",
    "Zhang et al. 2018": "H. Zhang, M. Cisse, Y. N. Dauphin, D. Lopez-Paz: mixup: Beyond Empirical Risk Minimization. "
    "ICLR, 2018.",
    "Zou & Hastie 2005": "H. Zou, T. Hastie: Regularization and variable selection via the elastic net. Journal of "
    "the Royal Statistical Society B 67(2), 2005.",
}
"""Behind decoding, geometry, networks, learners, stack and scores."""

FORGERIES = {
    "Belousov 2021": "S. Belousov: MobileStyleGAN: A Lightweight Convolutional Neural Network for High-Fidelity "
    "Image Synthesis. arXiv:2104.04767, 2021.",
    "Black & Lenzo 2001": "A. W. Black, K. A. Lenzo: Flite: a small fast run-time synthesis engine. 4th ISCA Workshop "
    "on Speech Synthesis, 2001.",
    "Durall et al. 2020": "R. Durall, M. Keuper, J. Keuper: Watch your Up-Convolution: CNN Based Generative Deep "
    "Neural Networks are Failing to Reproduce Spectral Distributions. CVPR, 2020.",
    "Fant 1960": "G. Fant: Acoustic Theory of Speech Production. Mouton, 1960.",
    "Karras et al. 2019": "T. Karras, S. Laine, T. Aila: A Style-Based Generator Architecture for Generative "
    "Adversarial Networks. CVPR, 2019.",
    "Kim et al. 2021": "J. Kim, J. Kong, J. Son: Conditional Variational Autoencoder with Adversarial Learning for "
    "End-to-End Text-to-Speech. ICML, 2021.",
    "Klatt 1980": "D. H. Klatt: Software for a cascade/parallel formant synthesizer. Journal of the Acoustical "
    "Society of America 67(3), 1980.",
    "Li et al. 2020": "L. Li, J. Bao, T. Zhang, H. Yang, D. Chen, F. Wen, B. Guo: Face X-ray for More General Face "
    "Forgery Detection. CVPR, 2020.",
    "Li et al. 2023": "Y. A. Li, C. Han, V. Raghavan, G. Mischler, N. Mesgarani: StyleTTS 2: Towards Human-Level "
    "Text-to-Speech through Style Diffusion and Adversarial Training with Large Speech Language Models. NeurIPS, 2023.",
    "Odena et al. 2016": "A. Odena, V. Dumoulin, C. Olah: Deconvolution and Checkerboard Artifacts. Distill, 2016.",
    "Oppenheim 1969": "A. V. Oppenheim: Speech Analysis-Synthesis System Based on Homomorphic Filtering. Journal of "
    "the Acoustical Society of America 45(2), 1969.",
    "Perez et al. 2003": "P. Pérez, M. Gangnet, A. Blake: Poisson Image Editing. ACM Transactions on Graphics 22(3), "
    "2003.",
    "Peterson & Barney 1952": "G. E. Peterson, H. L. Barney: Control Methods Used in a Study of the Vowels. Journal "
    "of the Acoustical Society of America 24(2), 1952.",
    "Reinhard et al. 2001": "E. Reinhard, M. Ashikhmin, B. Gooch, P. Shirley: Color Transfer between Images. IEEE "
    "Computer Graphics and Applications 21(5), 2001.",
    "VanderWerf et al. 2003": "F. VanderWerf, P. Brassinga, D. Reits, M. Aramideh, B. Ongerboer de Visser: Eyelid "
    "Movements: Behavioral Studies of Blinking in Humans Under Different Stimulus Conditions. Journal of "
    "Neurophysiology 89(5), 2003.",
    "Wan et al. 2024": "C. Wan et al.: Swift Parameter-free Attention Network for Efficient Super-Resolution. CVPR "
    "Workshops, 2024.",
    "Wang et al. 2021": "X. Wang, L. Xie, C. Dong, Y. Shan: Real-ESRGAN: Training Real-World Blind Super-Resolution "
    "with Pure Synthetic Data. ICCV Workshops, 2021.",
    "Zen et al. 2007": "H. Zen, T. Nose, J. Yamagishi, S. Sako, T. Masuko, A. W. Black, K. Tokuda: The HMM-based "
    "Speech Synthesis System (HTS) Version 2.0. 6th ISCA Workshop on Speech Synthesis, 2007.",
}
"""Behind the synthesis of training data."""

ALL = CUES | METHODS | FORGERIES


def citations(text: str) -> set[tuple[str, str]]:
    """First author and year of every work that a text cites.

    Examples
    --------
    >>> sorted(citations("the mouth's opening (Slaney & Covell 2000), as Li et al. 2018 do"))
    [('Li', '2018'), ('Slaney', '2000')]
    """
    return set(CITATION.findall(" ".join(text.split())))


def entries(texts: Iterable[str]) -> list[str]:
    """Entries of :data:`CUES` that texts cite, sorted."""
    cited = set().union(*map(citations, texts))
    return [text for key, text in sorted(CUES.items()) if citations(key) & cited]


def unknown(texts: Iterable[str]) -> list[str]:
    """Citations of texts that no entry of :data:`ALL` answers, as "author year", sorted."""
    cited = set().union(*map(citations, texts))
    return sorted(" ".join(work) for work in cited - set().union(*map(citations, ALL)))


def of_families(names: Iterable[str]) -> list[str]:
    """Entries that the families' columns and documentation cite, sorted; families unknown here have none."""
    from features import discovery

    chosen = set(names)
    known = [family for family in discovery.families() if family.name in chosen]
    texts = [column.reference for family in known for column in family.columns]
    return entries([*texts, *(inspect.getdoc(inspect.getmodule(family.measure)) or "" for family in known)])
