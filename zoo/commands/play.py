"""Play with a trained GAN in a browser: seeds, classes, a way between two seeds, truncation and a few numbers of z.

The page is served to this machine alone, until Ctrl-C. It needs gradio: pip install 'gan-zoo[play]'
"""

import argparse

from zoo.cli.arguments import add_trained_gan, positive


def arguments(parser: argparse.ArgumentParser) -> None:
    """Which GAN, and where to."""
    add_trained_gan(parser)
    parser.add_argument("--port", type=positive, default=7860, help="of 127.0.0.1 (default: %(default)s)")
    parser.add_argument("--open", action="store_true", help="open a browser")


def run(chosen: argparse.Namespace) -> None:
    """Serve the page."""
    from zoo.play import page

    made = page(chosen.ref, trust=chosen.trust)
    _, url, _ = made.launch(
        server_name="127.0.0.1", server_port=chosen.port, share=False, inbrowser=chosen.open, quiet=True,
        prevent_thread_lock=True,
    )  # fmt: skip
    print(f"{url} until Ctrl-C", flush=True)
    made.block_thread()
