"""The packages: what pyproject.toml cannot say. `videobrush`, the library door, is `rt/public`."""

from setuptools import find_packages, setup

setup(
    packages=[*find_packages(include=["rt*", "train*", "engines*"], exclude=["rt.public"]), "videobrush"],
    package_dir={"videobrush": "rt/public"},
)
