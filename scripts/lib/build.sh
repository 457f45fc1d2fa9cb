# Building the dashboard and the programs. To be sourced after needs.sh.
# shellcheck shell=bash

export SQLX_OFFLINE=${SQLX_OFFLINE:-true}
export programs=${CARGO_TARGET_DIR:-target}/debug

# Installs the dashboard's packages as locked, when they are not. Not `npm ci`: it refuses a lock file that was made
# where the optional packages of other platforms are not to be had.
web_packages() {
  if [ web/node_modules/.package-lock.json -nt web/package-lock.json ]; then return 0; fi
  step 'web packages' 'is the network up? npm install in web/ shows more' \
    npm --prefix web install --no-save --no-audit --no-fund
}

# Builds web/dist when a source is newer than it.
web_build() {
  web_packages
  if [ -e web/dist/index.html ] &&
    [ -z "$(find web -path web/node_modules -prune -o -path web/dist -prune -o -type f -newer web/dist/index.html -print -quit)" ]; then
    return 0
  fi
  step 'dashboard' 'mend what the log shows; npm run build in web/ repeats it' npm --prefix web run build
}

# Builds every program in the debug profile. A test among them selects the features that tests have: otherwise
# dependencies, and all that is ours, would be compiled once for programs and once for tests.
programs_build() {
  step 'programs (debug profile)' 'mend what the log shows; cargo build repeats it' \
    cargo build --locked --workspace --all-features --bins --test e2e
}
