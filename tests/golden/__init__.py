"""Values made once by real, older Keras releases, and what makes them."""
