"""Training: TRL's trainers under the prefix mask, with the checks, the checkpoints and the measurements of this package."""

from hrm_align.releases import check_releases

check_releases()  # before a module here imports pieces of TRL that another release lacks
