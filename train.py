"""Train a GAN: python train.py fit -c configs/<variant>.yaml -c configs/data/<dataset>.yaml."""

import sys

from zoo.cli.help import helped

if __name__ == "__main__" and not helped(sys.argv[1:]):  # help needs no torch
    from zoo.cli.main import main

    main()
