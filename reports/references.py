"""The literature behind cues, learners and scores; a column's ``reference`` names an entry by author and year."""

from __future__ import annotations

import inspect
import re
from collections.abc import Iterable

ENTRY = re.compile(r"[A-Z][^;]*?\b(?:19|20)\d\d\b")  # "Soukupova & Cech 2016" within a longer remark

CUES = {
    "Agarwal et al. 2019": "S. Agarwal, H. Farid, Y. Gu, M. He, K. Nagano, H. Li: Protecting World Leaders Against "
    "Deep Fakes. CVPR Workshops, 2019.",
    "Agarwal et al. 2020": "S. Agarwal, H. Farid, O. Fried, M. Agrawala: Detecting Deep-Fake Videos from "
    "Phoneme-Viseme Mismatches. CVPR Workshops, 2020.",
    "Bentivoglio 1997": "A. R. Bentivoglio, S. B. Bressman, E. Cassetta, D. Carretta, P. Tonali, A. Albanese: Analysis "
    "of blink rate patterns in normal subjects. Movement Disorders 12(6), 1997.",
    "Bonettini et al. 2020": "N. Bonettini, P. Bestagini, S. Milani, S. Tubaro: On the use of Benford's law to detect "
    "GAN-generated images. ICPR, 2020.",
    "Chung & Zisserman 2016": "J. S. Chung, A. Zisserman: Out of time: automated lip sync in the wild. ACCV "
    "Workshops, 2016.",
    "Ciftci et al. 2020": "U. A. Ciftci, I. Demir, L. Yin: FakeCatcher: Detection of Synthetic Portrait Videos using "
    "Biological Signals. IEEE TPAMI, 2020.",
    "Crete et al. 2007": "F. Crete, T. Dolmiere, P. Ladret, M. Nicolas: The blur effect: perception and estimation "
    "with a new no-reference perceptual blur metric. SPIE Human Vision and Electronic Imaging XII, 2007.",
    "de Haan 2013": "G. de Haan, V. Jeanne: Robust pulse rate from chrominance-based rPPG. IEEE Transactions on "
    "Biomedical Engineering 60(10), 2013.",
    "Durall et al. 2019": "R. Durall, M. Keuper, F.-J. Pfreundt, J. Keuper: Unmasking DeepFakes with simple Features. "
    "arXiv:1911.00686, 2019.",
    "Fridrich & Kodovsky 2012": "J. Fridrich, J. Kodovský: Rich Models for Steganalysis of Digital Images. IEEE "
    "Transactions on Information Forensics and Security 7(3), 2012.",
    "Hotelling 1936": "H. Hotelling: Relations between two sets of variates. Biometrika 28, 1936.",
    "Houtgast & Steeneken 1985": "T. Houtgast, H. J. M. Steeneken: A review of the MTF concept in room acoustics "
    "and its use for estimating speech intelligibility in auditoria. Journal of the Acoustical Society of America "
    "77(3), 1985.",
    "Hu et al. 2021": "S. Hu, Y. Li, S. Lyu: Exposing GAN-generated Faces Using Inconsistent Corneal Specular "
    "Highlights. ICASSP, 2021.",
    "Immerkaer 1996": "J. Immerkær: Fast Noise Variance Estimation. Computer Vision and Image Understanding 64(2), "
    "1996.",
    "Li & Lyu 2019": "Y. Li, S. Lyu: Exposing DeepFake Videos By Detecting Face Warping Artifacts. CVPR Workshops, "
    "2019.",
    "Li et al. 2018": "Y. Li, M.-C. Chang, S. Lyu: In Ictu Oculi: Exposing AI Created Fake Videos by Detecting Eye "
    "Blinking. IEEE WIFS, 2018.",
    "Li et al. 2020": "L. Li, J. Bao, T. Zhang, H. Yang, D. Chen, F. Wen, B. Guo: Face X-ray for More General Face "
    "Forgery Detection. CVPR, 2020.",
    "Liu et al. 2023": "B. Liu, B. Liu, M. Ding, T. Zhu, X. Yu: TI2Net: Temporal Identity Inconsistency Network for "
    "Deepfake Detection. WACV, 2023.",
    "Matern et al. 2019": "F. Matern, C. Riess, M. Stamminger: Exploiting Visual Artifacts to Expose Deepfakes and "
    "Face Manipulations. WACV Workshops, 2019.",
    "Sahidullah et al. 2015": "M. Sahidullah, T. Kinnunen, C. Hanilçi: A Comparison of Features for Synthetic Speech "
    "Detection. Interspeech, 2015.",
    "Shiohara & Yamasaki 2022": "K. Shiohara, T. Yamasaki: Detecting Deepfakes with Self-Blended Images. CVPR, 2022.",
    "Slaney & Covell 2000": "M. Slaney, M. Covell: FaceSync: A Linear Operator for Measuring Synchronization of Video "
    "Facial Images and Audio Tracks. NIPS 13, 2000.",
    "Soukupova & Cech 2016": "T. Soukupová, J. Čech: Real-Time Eye Blink Detection using Facial Landmarks. Computer "
    "Vision Winter Workshop, 2016.",
    "Sun et al. 2021": "Z. Sun, Y. Han, Z. Hua, N. Ruan, W. Jia: Improving the Efficiency and Robustness of Deepfakes "
    "Detection through Precise Geometric Features. CVPR, 2021.",
    "Wang et al. 2017": "W. Wang, A. C. den Brinker, S. Stuijk, G. de Haan: Algorithmic Principles of Remote PPG. IEEE "
    "Transactions on Biomedical Engineering 64(7), 2017.",
    "Yang et al. 2019": "X. Yang, Y. Li, S. Lyu: Exposing Deep Fakes Using Inconsistent Head Poses. ICASSP, 2019.",
    "Zhao & Pietikainen 2007": "G. Zhao, M. Pietikäinen: Dynamic Texture Recognition Using Local Binary Patterns with "
    "an Application to Facial Expressions. IEEE TPAMI 29(6), 2007.",
}

METHODS = {
    "Breiman 1996": "L. Breiman: Stacked regressions. Machine Learning 24, 1996.",
    "Breiman 2001": "L. Breiman: Random Forests. Machine Learning 45, 2001.",
    "Brier 1950": "G. W. Brier: Verification of forecasts expressed in terms of probability. Monthly Weather Review "
    "78, 1950.",
    "Chen & Guestrin 2016": "T. Chen, C. Guestrin: XGBoost: A Scalable Tree Boosting System. KDD, 2016.",
    "Dolhansky et al. 2020": "B. Dolhansky, J. Bitton, B. Pflaum, J. Lu, R. Howes, M. Wang, C. Canton Ferrer: The "
    "DeepFake Detection Challenge (DFDC) Dataset. arXiv:2006.07397, 2020.",
    "Efron & Tibshirani 1993": "B. Efron, R. J. Tibshirani: An Introduction to the Bootstrap. Chapman & Hall, 1993.",
    "Geurts et al. 2006": "P. Geurts, D. Ernst, L. Wehenkel: Extremely randomized trees. Machine Learning 63, 2006.",
    "Gregorutti et al. 2015": "B. Gregorutti, B. Michel, P. Saint-Pierre: Grouped variable importance with random "
    "forests and application to multiple functional data analysis. Computational Statistics & Data Analysis 90, 2015.",
    "Ke et al. 2017": "G. Ke, Q. Meng, T. Finley, T. Wang, W. Chen, W. Ma, Q. Ye, T.-Y. Liu: LightGBM: A Highly "
    "Efficient Gradient Boosting Decision Tree. NIPS, 2017.",
    "King 2009": "D. E. King: Dlib-ml: A Machine Learning Toolkit. Journal of Machine Learning Research 10, 2009.",
    "Lundberg et al. 2020": "S. M. Lundberg et al.: From local explanations to global understanding with explainable "
    "AI for trees. Nature Machine Intelligence 2, 2020.",
    "Mastrandrea et al. 2010": "M. D. Mastrandrea et al.: Guidance Note for Lead Authors of the IPCC Fifth Assessment "
    "Report on Consistent Treatment of Uncertainties. IPCC, 2010.",
    "Niculescu-Mizil & Caruana 2005": "A. Niculescu-Mizil, R. Caruana: Predicting Good Probabilities With Supervised "
    "Learning. ICML, 2005.",
    "Saerens et al. 2002": "M. Saerens, P. Latinne, C. Decaestecker: Adjusting the Outputs of a Classifier to New a "
    "Priori Probabilities. Neural Computation 14(1), 2002.",
    "Zou & Hastie 2005": "H. Zou, T. Hastie: Regularization and variable selection via the elastic net. Journal of the "
    "Royal Statistical Society B 67(2), 2005.",
}


def entries(remarks: Iterable[str]) -> list[str]:
    """Entries of :data:`CUES` that column references name, sorted."""
    told = set(remarks)
    return [text for key, text in sorted(CUES.items()) if any(key in remark for remark in told)]


def unknown(remarks: Iterable[str]) -> list[str]:
    """Author-and-year references that no entry answers, sorted."""
    found = {match for remark in remarks for match in ENTRY.findall(remark)}
    return sorted(one for one in found if not any(key in one for key in CUES))


def of_families(names: Iterable[str]) -> list[str]:
    """Entries that the families' columns and documentation name, sorted; families unknown here have none."""
    from features import spec

    chosen = set(names)
    known = [one for one in spec.families() if one.name in chosen]
    remarks = [column.reference for one in known for column in one.columns]
    return entries([*remarks, *(inspect.getdoc(inspect.getmodule(one.measure)) or "" for one in known)])
