# The dashboard, as the packaged control plane serves it to a browser.
{
  nodes = {
    control.imports = [ ./nodes/control.nix ];
    client.imports = [ ./nodes/client.nix ];
  };
}
