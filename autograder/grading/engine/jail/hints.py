"""Why a machine may refuse namespaces, and what its owner can do about it."""

from __future__ import annotations

from pathlib import Path

#: Kernel settings that forbid ordinary users' namespaces: the value that forbids, what helps.
_SETTINGS = {
    "user/max_user_namespaces": ("0", "set it to 15000"),
    "kernel/unprivileged_userns_clone": ("0", "set it to 1"),
    "kernel/apparmor_restrict_unprivileged_userns": (
        "1",
        "set it to 0, or give this Python an AppArmor profile that allows userns",
    ),
}
_SYSTEM_SETTINGS = Path("/proc/sys")
_CONTAINER_MARKS = ("/.dockerenv", "/run/.containerenv")


def explain() -> str:
    """Return in one sentence what on this machine may forbid namespaces."""
    for name, (forbidding, remedy) in _SETTINGS.items():
        try:
            value = (_SYSTEM_SETTINGS / name).read_text().strip()
        except OSError:
            continue
        if value == forbidding:
            return f"The kernel setting {name.replace('/', '.')} is {value}: {remedy}."
    if any(Path(mark).exists() for mark in _CONTAINER_MARKS):
        return (
            "Containers forbid this by default, unless started with --security-opt "
            "seccomp=unconfined --security-opt systempaths=unconfined, or as privileged."
        )
    return "The kernel, or a sandbox around this process, forbids namespaces."
