"""Sizes of folders, and whether two are the same."""

import filecmp
import os
import stat


def size_of(path):
    """Bytes of all regular files below a path."""
    total = 0
    for folder, _, names in os.walk(path):
        for name in names:
            found = os.lstat(os.path.join(folder, name))
            total += found.st_size if stat.S_ISREG(found.st_mode) else 0
    return total


def read_all(path):
    """Reads every file, so that it is in the page cache."""
    for folder, _, names in os.walk(path):
        for name in names:
            if stat.S_ISREG(os.lstat(os.path.join(folder, name)).st_mode):
                with open(os.path.join(folder, name), "rb") as file:
                    while file.read(1 << 22):
                        pass


def same_trees(left, right):
    """Whether two folders hold the same names, kinds, modes, times of files, link targets and bytes."""
    def names(root):
        return sorted(os.path.relpath(os.path.join(folder, name), root)
                      for folder, folders, files in os.walk(root) for name in folders + files)

    if names(left) != names(right):
        return False
    for name in names(left):
        a, b = os.path.join(left, name), os.path.join(right, name)
        here, there = os.lstat(a), os.lstat(b)
        if here.st_mode != there.st_mode:
            return False
        if stat.S_ISLNK(here.st_mode) and os.readlink(a) != os.readlink(b):
            return False
        if stat.S_ISREG(here.st_mode) and (int(here.st_mtime) != int(there.st_mtime) or not filecmp.cmp(a, b, shallow=False)):
            return False
    return True
