// Windows that slide over up to three spatial axes; axes that are not there have one element.

struct Windows {
  int size[3];      // of the inputs
  int out[3];       // positions
  int window[3];    // taps
  int strides[3];
  int lows[3];      // padding before the inputs
  int dilation[3];
};
