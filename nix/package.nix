# All programs: control plane with the dashboard inside, mesh agent, worker, proxy, and `wh`.
{
  lib,
  stdenv,
  rustPlatform,
  installShellFiles,
  cmake,
  wisehosting-web,
}:
let
  root = ../.;
  inherit (lib.importTOML (root + "/Cargo.toml")) workspace;
  inherit (lib) fileset;
in
rustPlatform.buildRustPackage {
  pname = "wisehosting";
  inherit (workspace.package) version;

  # What the programs are made of, so that a change of docs or hosts builds nothing.
  src = fileset.toSource {
    inherit root;
    fileset = fileset.unions [
      (root + "/Cargo.toml")
      (root + "/Cargo.lock")
      (root + "/crates")
      (root + "/migrations")
      (root + "/.sqlx")
      (root + "/web/openapi.json")
    ];
  };

  cargoLock.lockFile = root + "/Cargo.lock";
  cargoBuildFlags = [
    "--workspace"
    "--exclude=testbed"
    "--bins"
  ];

  nativeBuildInputs = [
    installShellFiles
    # aws-lc-rs compiles its C library.
    cmake
  ];
  dontUseCmakeConfigure = true;

  env.SQLX_OFFLINE = "true";
  preBuild = ''
    mkdir -p web
    cp -r ${wisehosting-web} web/dist
  '';

  # The tests need Postgres, root and network namespaces: `scripts/test` and the checks of the flake run them.
  doCheck = false;

  postInstall = lib.optionalString (stdenv.buildPlatform.canExecute stdenv.hostPlatform) ''
    installShellCompletion --cmd wh \
      --bash <($out/bin/wh completion bash) \
      --fish <($out/bin/wh completion fish) \
      --zsh <($out/bin/wh completion zsh)
    $out/bin/wh man man
    installManPage man/*
  '';

  meta = {
    description = "A private cloud over your own servers";
    license = lib.licenses.asl20;
    mainProgram = "wh";
    platforms = lib.platforms.linux;
  };
}
