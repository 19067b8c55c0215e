"""Of `python -m zoo`: arguments, references, configurations, runs, benchmarks, and where results are to go."""

import json

from tests.corpus import Case, zoo

DIGITS = "-c {zoo}/configs/data/digits.yaml --data.image_size=8"
RUN = {"variant": "a", "dataset": "b", "status": "finished", "seed": 0}
BEGUN = {"r/run.json": json.dumps(RUN), "r/metrics.jsonl": '{"step": 0, "progress/kimg": 1.0, "loss/d": 1.0}\n'}
BASE = {"configs": ["nsgan"], "data": "digits", "seeds": [0], "budget": {"kimg": 1}}


def run(name: str, content: str | bytes, *words: str) -> Case:
    """A run's folder with this file."""
    return zoo("compare r", f"r/{name}", *words, files={**BEGUN, f"r/{name}": content})


def benchmark(*words: str, **changes: object) -> Case:
    text = json.dumps({key: value for key, value in {**BASE, **changes}.items() if value is not None})
    return zoo("benchmark p.yaml --dry-run -o out", "p.yaml", *words, files={"p.yaml": text})


def data(text: str | bytes, *words: str) -> Case:
    return zoo("evaluate {gan} -c d.yaml", *words, files={"d.yaml": text})


def unwritable(argv: str, *words: str) -> list[Case]:
    """Into a folder that takes no files, and into what is no folder."""
    return [
        Case(f"zoo {argv}".replace("OUT", "ro/x"), ("ro", "Read-only", *words), {"ro": None}, read_only=True),
        Case(f"zoo {argv}".replace("OUT", "file/x"), ("file", *words), {"file": "mine"}),
    ]


ARGUMENTS = [
    zoo("nope", "'nope'", "sample"),
    zoo("sample", "required", "ref"),
    zoo("sample {gan} --n 0", "--n", "at least 1", "0"),
    zoo("sample {gan} --n x", "--n", "'x'"),
    zoo("sample {gan} --seed x", "--seed", "'x'"),
    zoo("sample {gan} --nope", "--nope"),
    zoo("sample {gan} --n 1000000000000000", "no memory"),
    zoo("sample {gan} --n 1000000000000000000000000000000", "2^63 or more", "smaller sizes"),
    zoo("sample {gan} --n 4 --columns 1000000000", "no memory"),
    zoo("sample {gan} --n 4 -o x.tiff", "x.tiff", ".png"),
    zoo("sample nope", "'nope'", "wgan_gp-digits"),
    zoo("sample wgan_gp-digit", "did you mean wgan_gp-digits"),
    zoo("sample wgan_gp-digits@9", "'9'", "wgan_gp-digits@1"),
    zoo("sample ''", "''"),
    zoo("sample a/b", "a/b", "hf:a/b"),
    zoo("sample hf:x", "hf:x", "OWNER/REPO"),
    zoo("sample hf:../x", "hf:../x", "OWNER/REPO"),
    zoo("sample wandb:x", "wandb:x", "ENTITY/PROJECT/NAME"),
    zoo("sample " + "x" * 5000, "xxx", "too long"),
    zoo("evaluate {gan}", "no data", "configs/data/"),
    zoo("evaluate {gan} -c nowhere.yaml", "nowhere.yaml"),
    zoo("evaluate {gan} -c {zoo}/configs/nsgan.yaml", "nsgan.yaml", "no section data"),
    zoo(f"evaluate {{gan}} {DIGITS} --metrics fdd", "'fdd'", "prdc"),
    zoo(f"evaluate {{gan}} {DIGITS} --features nope", "'nope'", "digits-cnn"),
    zoo(f"evaluate {{gan}} {DIGITS} --n 5", "5", "at least"),
    zoo(f"evaluate {{gan}} {DIGITS} --n 100", "digits-cnn has 128 features, more than the 100 val images"),
    zoo(f"evaluate {{gan}} {DIGITS} --metrics fid --features pixels8", "in those of pixels8 it is fd"),
    zoo(f"evaluate {{gan}} {DIGITS} --metrics authpct --split train", "held-out images beside", "not split train"),
    zoo(f"evaluate {{gan}} {DIGITS} --split x", "--split", "'x'"),
    zoo(f"evaluate {{gan}} {DIGITS} --data.rot=x", "'rot'"),
    zoo(f"evaluate {{gan}} {DIGITS} --data.seed=x", "data.seed", "int", "'x'"),
    zoo(f"evaluate {{gan}} {DIGITS} --nope", "'--nope'"),
    zoo("evaluate {gan} -c {zoo}/configs/data/ring.yaml", "(1, 8, 8)", "(2,)"),
    data("{", "d.yaml", "line 1"),
    data("[1]", "d.yaml", "list"),
    data(b"\xff\xfe\0", "d.yaml", "no YAML"),
    data("data: 3", "d.yaml: data", "'3'", "Digits"),
    data("data: {class_path: os.system}", "data", "os.system"),
    data("data: {class_path: Digits, init_args: {image_size: big}}", "d.yaml", "image_size", "int", "'big'"),
    zoo("export", "required", "ref"),
    zoo("export nowhere.ckpt out", "nowhere.ckpt"),
    zoo("publish {gan}", "--hf", "--wandb"),
    zoo("publish {gan} --hf x", "hf:x", "OWNER/REPO"),
    zoo("publish {gan} --hf a/b@c", "'c'"),
    zoo("publish nowhere --hf a/b", "nowhere"),
    zoo("reproduce nope", "'nope'", "wgan_gp-digits"),
    zoo("reproduce ./x", "'./x'", "catalogue"),
    zoo("reproduce wgan_gp-digits --budget.kimg=x", "budget.kimg", "float", "'x'"),
    zoo("dashboard", "required", "--entity"),
    zoo("dashboard --entity e --project p --data nope --dry-run x", "nope", "digits"),
    zoo("lab nope", "'nope'"),
    zoo("lab noise --seed x", "--seed", "'x'"),
    zoo("models x", "x"),
    zoo("models --json --markdown", "--markdown", "--json"),
]

RUNS = [
    zoo("compare", "required", "runs"),
    zoo("compare nowhere", "nowhere"),
    zoo("compare empty", "empty", "run.json", files={"empty": None}),
    run("run.json", "{", "not JSON"),
    run("run.json", "[" * 100_000, "not JSON"),
    run("run.json", b"\xff", "not JSON"),
    run("run.json", "[]", "not a JSON object"),
    run("run.json", "{}", "no variant"),
    run("run.json", '{"variant": "nsgan", "dataset": "digits"}', "no status"),
    run("run.json", json.dumps({**RUN, "result": 3}), "result"),
    run("run.json", json.dumps({**RUN, "result": {"kimg": "x"}}), "kimg"),
    run("metrics.jsonl", "x\n", "metrics.jsonl:1"),
    run("metrics.jsonl", b"\xff\n", "UTF-8"),
    run("scores.jsonl", "{}\n", "kimg", "scores"),
    run("config.yaml", "{", "line 1, column 2"),
]

BENCHMARKS = [
    zoo("benchmark", "required", "benchmark"),
    zoo("benchmark nowhere.yaml", "nowhere.yaml", "fashion_mnist"),
    zoo("benchmark p.yaml", "p.yaml", "no YAML", files={"p.yaml": b"\xff\xfe\0"}),
    zoo("benchmark p.yaml", "p.yaml", "line 1", files={"p.yaml": "{"}),
    zoo("benchmark p.yaml", "p.yaml", "no keys", files={"p.yaml": ""}),
    zoo("benchmark {zoo}/configs/benchmarks/digits.yaml --jobs 0", "--jobs", "at least 1"),
    zoo("benchmark {zoo}/configs/benchmarks/digits.yaml --restarts -1", "--restarts", "-1"),
    benchmark("overrides", "ckpt_path", overrides={"ckpt_path": "x"}),
]

PLACES = [
    *unwritable("sample {gan} --n 4 -o OUT.png"),
    *unwritable(f"evaluate {{gan}} {DIGITS} --n 200 --metrics is --json OUT.json"),
    *unwritable("dashboard --entity e --project p --dry-run OUT"),
    Case("zoo benchmark p.yaml -o ro/x", ("ro/x", "Read-only"), {"p.yaml": json.dumps(BASE), "ro": None}, True),
    Case("zoo benchmark p.yaml -o file/x", ("file/x", "Not a directory"), {"p.yaml": json.dumps(BASE), "file": ""}),
    Case("zoo compare r -o ro/x.html", ("ro/x.html", "Read-only"), {**BEGUN, "ro": None}, True),
    Case("zoo compare r -o file/x.html", ("file",), {**BEGUN, "file": "mine"}),
]

CASES = [*ARGUMENTS, *RUNS, *BENCHMARKS, *PLACES]
