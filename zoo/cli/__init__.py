"""The command line of `train.py`, and `zoo.fit`."""
