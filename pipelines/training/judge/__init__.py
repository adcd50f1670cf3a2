"""The second judge, which evaluations use beside the verifier."""
