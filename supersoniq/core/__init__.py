"""What a queue is. Pure: no clock, no input or output, no event loop; time is passed in."""
