"""One clip: decoding, finding and following faces, and what is observed of them."""
