"""AUs, landmarks and head pose of images by Google's FaceLandmarker, as a check."""
