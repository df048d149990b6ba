"""Trainers: TRL's trainers under the prefix mask, with this package's checks, checkpoints and training metrics."""

from hrm_align.releases import check_releases

check_releases()  # before a module of this package imports names from TRL that another release does not have
