"""Training of the weights of the forensic families from video and audio; no other package needs this one."""
