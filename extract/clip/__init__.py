"""Read one clip: decode it, detect and track its faces, and build its observation."""
