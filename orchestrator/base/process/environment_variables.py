"""What a tool's environment holds, and what the log may say about it.

A tool gets the variables that its class is known to need and no others, so that a password
under whatever name stays with this process. docs/explanation/security.md shows the table.
"""

from __future__ import annotations

import os
import re
import shlex
from collections.abc import Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import Literal

from orchestrator.base.safe_text import CREDENTIALS, without_credentials

SECRET = re.compile(
    r"TOKEN(?!IZER)|SECRET|PASSW|PASSPHRASE|CREDENTIAL|KEY(S?$|_)|_PAT$|_AUTH$", re.IGNORECASE
)
# git reads its configuration from the first; the others name a file and say yes or no.
NOT_SECRET = re.compile(r"GIT_CONFIG_KEY_\d+|GIT_SSL_KEY|GIT_SSL_CERT_PASSWORD_PROTECTED")
# What is dropped because it would change what a tool does, or the bytes that a build makes.
LEAKING = re.compile(
    r"PYTHON.*|__PYVENV.*|VIRTUAL_ENV.*|CPPFLAGS|C(XX)?FLAGS|LDFLAGS|CMAKE_(ARGS|GENERATOR.*)"
    r"|LLAMA_.*|GGML_.*|GIT_(DIR|WORK_TREE|INDEX_FILE|PREFIX|OBJECT_DIRECTORY)|MAKEFLAGS|MFLAGS"
)
UNLOGGED = re.compile(r"GIT_CONFIG_VALUE_\d+")  # may be an authorization header
# Shorter values would also blank out innocent words.
LEAST_SECRET = 6

Tool = Literal["tool", "compiler", "pip", "git", "own"]

# Patterns of names, matched whole and whatever their case.
ALLOWED: Mapping[str, tuple[str, ...]] = {
    "base": (
        *("PATH", "LANG", "LANGUAGE", "LC_.*", "TZ", "TZDIR", "TMPDIR", "TMP", "TEMP", "TERM"),
        *("USER", "LOGNAME", "USERNAME", "NO_COLOR", "TOKENIZERS_PARALLELISM"),
        *("LD_LIBRARY_PATH", "DYLD_(FALLBACK_)?(LIBRARY|FRAMEWORK)_PATH"),
        # Threads of the libraries that compute.
        *("OMP_.*", "GOMP_.*", "KMP_.*", "OPENBLAS_.*", "MKL_.*", "BLIS_.*", "VECLIB_.*"),
        # Which GPUs, and where their libraries lie.
        *("CUDA_.*", "NVIDIA_.*", "HIP_.*", "ROCM_.*", "ROCR_.*", "HSA_.*", "ONEAPI_.*"),
        *("SYCL_.*", "ZE_.*", "UR_.*", "VK_.*", "VULKAN_SDK", "GPU_DEVICE_ORDINAL"),
        # Without these no program starts on Windows.
        *("SYSTEMROOT", "SYSTEMDRIVE", "WINDIR", "COMSPEC", "PATHEXT", "OS", "PROGRAMDATA"),
        *(r"(COMMON)?PROGRAM(FILES|W6432)(\(X86\))?", "NUMBER_OF_PROCESSORS", "PROCESSOR_.*"),
    ),
    "home": (
        *("HOME", "USERPROFILE", "HOMEDRIVE", "HOMEPATH", "APPDATA", "LOCALAPPDATA"),
        *("XDG_(CONFIG|CACHE|DATA|STATE|RUNTIME)_(HOME|DIR)",),
    ),
    "compilers": (
        *("CC", "CXX", "CPP", "AR", "AS", "LD", "NM", "RANLIB", "STRIP", "OBJCOPY", "SHELL"),
        *("CPATH", "C(PLUS)?_INCLUDE_PATH", "LIBRARY_PATH", "COMPILER_PATH", "GCC_EXEC_PREFIX"),
        *("PKG_CONFIG.*", "CMAKE_.*", "NINJA_STATUS", "CCACHE_.*", "SCCACHE_.*"),
        *("CUDACXX", "CUDAHOSTCXX", "CUDAARCHS", "NVCC_.*", "HIPCXX", "HCC_.*", "AMDGPU_TARGETS"),
        *("MKLROOT", "TBBROOT", "CMPLR_ROOT", "CONDA_PREFIX", "CONDA_BUILD_SYSROOT", "NIX_.*"),
        *("SOURCE_DATE_EPOCH", "ZERO_AR_DATE", "SDKROOT", "DEVELOPER_DIR"),
        *("MACOSX_DEPLOYMENT_TARGET", "ARCHFLAGS"),
        # Visual Studio's command prompt.
        *("INCLUDE", "LIB", "LIBPATH", "VS(CMD_.*|INSTALLDIR|LANG)", r"VS\d+COMNTOOLS"),
        *("VC(TOOLS.*|INSTALLDIR|IDEINSTALLDIR)", "WINDOWSSDK.*", "UCRT.*", "DEVENVDIR"),
    ),
    "network": (
        *("(HTTPS?|FTP|ALL|NO)_PROXY", "SSL_CERT_(FILE|DIR)", "NIX_SSL_CERT_FILE"),
        *("REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE", "RES_OPTIONS", "HOSTALIASES"),
    ),
    "pip": ("PIP_.*", "NETRC", "DBUS_SESSION_BUS_ADDRESS"),
    "git": (
        *("GIT_SSH.*", "GIT_ASKPASS", "GIT_CONFIG.*", "GIT_SSL_.*", "GIT_HTTP_.*", "GIT_TRACE.*"),
        *("GIT_ALLOW_PROTOCOL", "GIT_PROTOCOL.*", "GIT_PROXY_.*", "GIT_EXEC_PATH"),
        *("GIT_PYTHON_.*", "GIT_CURL_VERBOSE", "GCM_.*", "SSH_AUTH_SOCK", "SSH_AGENT_PID"),
        *("SSH_ASKPASS.*", "GNUPGHOME", "GPG_TTY", "NETRC", "DISPLAY", "WAYLAND_DISPLAY"),
        *("DBUS_SESSION_BUS_ADDRESS", "GNOME_KEYRING_CONTROL"),
    ),
    # Of the Hub without its token, which is given where it is needed.
    "own": ("ORCHESTRATE_(HOME|TOOLCHAINS)", "HF_.*"),
}
# "tool" is what runs a model or converts it; "own" is this program in another process.
GROUPS: Mapping[Tool, tuple[str, ...]] = {
    "tool": ("base",),
    "compiler": ("base", "home", "compilers"),
    "pip": ("base", "home", "compilers", "network", "pip"),
    "git": ("base", "home", "network", "git"),
    "own": ("base", "home", "compilers", "network", "pip", "git", "own"),
}


@cache  # compiled for the tools that run, for it takes milliseconds
def _names(tool: Tool) -> re.Pattern[str]:
    names = [name for group in GROUPS[tool] for name in ALLOWED[group]]
    return re.compile("|".join(names), re.IGNORECASE)


def clean_env(extra: Mapping[str, str] | None = None, tool: Tool = "tool") -> dict[str, str]:
    """Return what a tool of this class needs of this process's environment.

    Dropped even where a list has it: tokens, keys and passwords by their names, compiler
    flags, the repository a git hook runs in; and for tools that ask no network every value
    that holds credentials of an address. ``extra`` is added as it is.
    OMP_WAIT_POLICY is PASSIVE unless it was set: spinning threads hurt whoever shares a core.
    """
    kept = {name: value for name, value in os.environ.items() if _is_needed(name, value, tool)}
    kept.setdefault("OMP_WAIT_POLICY", "PASSIVE")
    return {**kept, **(extra or {})}


def _is_needed(name: str, value: str, tool: Tool) -> bool:
    if _names(tool).fullmatch(name) is None or LEAKING.fullmatch(name):
        return False
    networked = "network" in GROUPS[tool]
    return not is_secret(name) and (networked or not CREDENTIALS.search(value))


@cache
def is_secret(name: str) -> bool:
    """Tell by a variable's name whether its value must not be shown."""
    return SECRET.search(name) is not None and NOT_SECRET.fullmatch(name) is None


def describe(argv: Sequence[str], cwd: Path, env: Mapping[str, str]) -> str:
    """Return the head of a log: command, folder, and how the environment differs from ours."""
    lines = [f"$ {shlex.join(argv)}", f"# in {cwd}"]
    for name in sorted(env):
        if is_secret(name) or UNLOGGED.fullmatch(name):
            lines.append(f"# {name}=(not shown)")
        elif os.environ.get(name) != env[name]:
            lines.append(f"# {name}={shlex.quote(env[name])}")
    lines += [f"# without {', '.join(sorted(set(os.environ) - set(env)))}"]
    return censored("\n".join(lines) + "\n", env)


def censored(text: str, env: Mapping[str, str] | None = None) -> str:
    """A text without the values of secret variables and without credentials in addresses.

    Args:
        text: What is to be shown.
        env: More variables than those of this process.
    """
    if not text:
        return text
    for name, value in {**os.environ, **(env or {})}.items():
        if is_secret(name) and len(value) >= LEAST_SECRET:
            text = text.replace(value, "(not shown)")
    return without_credentials(text)
