final: _prev: {
  wisehosting-web = final.callPackage ./web.nix { };
  wisehosting = final.callPackage ./package.nix { };
}
