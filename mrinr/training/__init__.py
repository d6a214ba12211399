"""Training and fine-tuning: people made up by the simulator or folders of real ones in, a bundle out."""

from mrinr.training.finetune import finetune, from_folder
from mrinr.training.train import train

__all__ = ["finetune", "from_folder", "train"]
