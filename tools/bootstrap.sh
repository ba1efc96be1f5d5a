#!/usr/bin/env bash
# Makes a virtual environment and installs into it; does nothing when it is up to date.
#
# Usage: tools/bootstrap.sh VENV PIP_INSTALL_ARGUMENT...
#
# Needs Python 3.11 or later and pip, nothing else. Debian splits `venv` from Python, and without
# its package `python3 -m venv` fails for want of ensurepip; then the system's pip fills the
# environment instead. PYTHON names another interpreter.
set -euo pipefail
cd "$(dirname "$0")/.."

venv=$1
shift
stamp=$venv/.installed

fail() {
  printf 'setup: %s\n' "$*" >&2
  exit 1
}

find_python() {
  local candidate
  for candidate in ${PYTHON:-python3.11 python3 python3.12 python3.13 python3.14}; do
    if "$candidate" -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null; then
      command -v "$candidate"
      return
    fi
  done
  fail "Python 3.11 or later is needed and was not found; install it, or name one: make setup PYTHON=/path/to/python3"
}

# What the environment was made from: the project file, the arguments, the folder (an editable
# install holds absolute paths, so a moved clone installs anew).
fingerprint() {
  { printf '%s\n' "$PWD" "$@"; cat pyproject.toml; } | sha256sum | cut -d' ' -f1
}

make_environment() {
  local python log
  python=$(find_python)
  log=$(mktemp)
  trap 'rm -f "$log"' RETURN
  rm -rf "$venv"
  if "$python" -m venv "$venv" >"$log" 2>&1; then
    return
  fi
  rm -rf "$venv"
  "$python" -m pip --version >/dev/null 2>&1 ||
    { cat "$log" >&2; fail "$python has neither ensurepip nor pip; install python3-venv or python3-pip"; }
  "$python" -m venv --without-pip "$venv" >"$log" 2>&1 ||
    { cat "$log" >&2; fail "$python cannot make a virtual environment; install python3-venv"; }
  "$python" -m pip --quiet --python "$venv/bin/python" install pip ||
    fail "the pip of $python could not fill $venv; install python3-venv and try again"
}

wanted=$(fingerprint "$@")
if [[ -x $venv/bin/python && -f $stamp && $(cat "$stamp") == "$wanted" ]]; then
  touch "$stamp"
  exit 0
fi
if ! "$venv/bin/python" -m pip --version >/dev/null 2>&1; then
  echo "setup: making $venv"
  make_environment
fi
echo "setup: installing into $venv (a minute or two the first time)"
# Dependency groups need pip 25.1; Debian 12 comes with 23.0.
"$venv/bin/python" -m pip install --quiet --disable-pip-version-check --upgrade 'pip>=25.1'
"$venv/bin/python" -m pip install --quiet --disable-pip-version-check --root-user-action ignore "$@"
printf '%s\n' "$wanted" >"$stamp"
