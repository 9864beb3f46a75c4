#!/bin/bash
# What only a GPU can tell, in one run of about ten minutes on an H100 or H200, without a network:
#
#     tests/device/run.sh OUT [MODEL]
#
# OUT gets sharing.jsonl (exactness, speed and memory of shared prefixes) and learning.log with the trainings. MODEL is a
# folder, or a GGUF file, of SmolLM2-135M-Instruct (recipes/from_gguf.py); without it a tiny model is trained, which shows
# that the path holds and nothing else. SMALL=1 tries all of it in little, on the CPU too.
#
# To take along, as wheels for the Python there: trl==1.16.*, datasets, multiprocess, dill, pydantic, pydantic-core,
# annotated-types, typing-inspection, tenacity, gguf; torch, transformers, accelerate and the rest are in most images.
# What is missing is named at once. The GGUF file has 94 MiB: split it where that is too much for one transfer, and join
# it there (cat part-* > model.gguf).
set -euo pipefail
here=$(cd "$(dirname "$0")/../.." && pwd)
out=$(mkdir -p "$1" && cd "$1" && pwd)
model=${2:-}
python=${PYTHON:-python3}
export PYTHONPATH="$here:${PYTHONPATH:-}" PYTHONUNBUFFERED=1 HF_HUB_OFFLINE=1 TOKENIZERS_PARALLELISM=false
small=${SMALL:+--small}
cd "$here"
"$python" - <<'PYTHON'
import importlib.util
import sys

wanted = "torch transformers trl accelerate datasets pydantic typer rich yaml numpy scipy pandas pyarrow httpx tenacity jinja2"
missing = [name for name in wanted.split() if importlib.util.find_spec(name) is None]
sys.exit(f"not installed: {', '.join(missing)}" if missing else 0)
PYTHON
timeout 240 "$python" tests/device/sharing.py $small --json "$out/sharing.jsonl" || echo "sharing: exit status $?"
if [ -f "$model" ]; then
    timeout 60 "$python" recipes/from_gguf.py "$model" "$out/model"
    model=$out/model
fi
timeout 420 "$python" tests/device/learning.py --out "$out/learning" --seconds "${SECONDS_OF_GRPO:-120}" $small \
    ${model:+--model "$model"} 2>&1 | tee "$out/learning.log"
rm -rf "$out/model" "$out"/learning/*/checkpoints "$out"/learning/*/model # too large to be sent back
