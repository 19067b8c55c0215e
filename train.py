"""Train a GAN: python train.py fit -c configs/<variant>.yaml -c configs/data/<dataset>.yaml."""

from zoo.cli import main

if __name__ == "__main__":
    main()
