# Checks of the flake, the modules and the VM tests. To be sourced after tools.sh.
# shellcheck shell=bash disable=SC2154

# Nix itself, its formatter, and the finder of dead code. Debian's Nix is old, and enough.
nix_tools() {
  command -v nix-instantiate >/dev/null || needs nix
  local crate
  for crate in nixfmt_rs deadnix; do
    if ! command -v "${crate%_rs}" >/dev/null; then
      has cargo 'install Rust: https://rustup.rs'
      step "$crate" 'is the network up? cargo install shows more' cargo install --quiet --locked --root "$cache/tools" $crate
    fi
  done
}

# For the types of the tests' scripts.
mypy_tool() {
  [ -d "$cache/mypy/mypy" ] || step 'mypy' 'is the network up? python3 -m pip install mypy shows more' \
    python3 -m pip install --quiet --target "$cache/mypy" mypy
  export PYTHONPATH=$cache/mypy
}

nix_parse() {
  local file
  for file in "$@"; do nix-instantiate --parse "$file" >/dev/null || return 1; done
}

# nix_evaluate FOLDER: everything that can be known without building, as JSON. Read-write: derivations are really made,
# as nixos-rebuild would. A process for each part and test, because evaluation never gives memory back.
nix_evaluate() {
  local part name
  for part in names hosts options apps packages checks broken testNames; do nix_find $part "$1/$part.json" || return 1; done
  mkdir -p "$1/tests"
  for name in $(tr -d '[]"' <"$1/testNames.json" | tr , ' '); do nix_find "tests.$name" "$1/tests/$name.json" || return 1; done
}

nix_find() {
  NIX_REMOTE=${NIX_REMOTE-local} nix-instantiate --eval --strict --json --read-write-mode \
    --option allow-import-from-derivation false --arg project "$PWD" --arg nixpkgs "$(realpath "$NIXPKGS")" -A "found.$1" scripts/lib/nix/evaluate.nix >"$2"
}
