# The dashboard, as files. It is built into the control plane's program.
{
  lib,
  buildNpmPackage,
  importNpmLock,
}:
let
  root = ../web;
  inherit (lib.importJSON (root + "/package.json")) version;
in
buildNpmPackage {
  pname = "wisehosting-web";
  inherit version;

  src = lib.fileset.toSource {
    inherit root;
    fileset = lib.fileset.difference root (
      lib.fileset.unions (
        map lib.fileset.maybeMissing [
          (root + "/node_modules")
          (root + "/dist")
          (root + "/e2e")
        ]
      )
    );
  };

  # Taken from the lock file: no hash to keep in step with it.
  npmDeps = importNpmLock { npmRoot = root; };
  npmConfigHook = importNpmLock.npmConfigHook;

  installPhase = ''
    runHook preInstall
    cp -r dist $out
    runHook postInstall
  '';

  meta = {
    description = "Dashboard of WiseHosting";
    license = lib.licenses.asl20;
  };
}
