"""The eras of Keras."""
