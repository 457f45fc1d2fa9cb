# The reference of our options as Markdown, made by evaluation alone: docs/nixos/options.md is this text, and a check
# says when it is stale (`scripts/options-doc` writes it).
{ lib, options }:
let
  hidden = option: option.internal || option.visible != true;
  all = lib.filter (option: !hidden option) (lib.optionAttrSetToDocList options.services.wisehosting);

  prefix = "services.wisehosting.";
  section = option: lib.head (lib.splitString "." (lib.removePrefix prefix option.name));
  # Sections are the modules: a single option of the top level belongs to none of them.
  sectionOf =
    option: if lib.hasInfix "." (lib.removePrefix prefix option.name) then section option else "";

  oneLine = text: !lib.hasInfix "\n" (lib.trim text);
  value =
    label: rendered:
    let
      text = lib.trim rendered.text;
    in
    if rendered._type == "literalMD" then
      "${label}: ${text}"
    else if oneLine text then
      "${label}: `${text}`"
    else
      "${label}:\n\n```nix\n${text}\n```";

  entry =
    option:
    lib.concatStringsSep "\n\n" (
      [
        "### `${option.name}`"
        (lib.trim option.description)
        "Type: ${option.type}${lib.optionalString option.readOnly ", read-only"}"
      ]
      ++ lib.optional (option ? default) (value "Default" option.default)
      ++ lib.optional (option ? example) (value "Example" option.example)
    );

  chapter =
    name: entries:
    lib.concatStringsSep "\n\n" (
      [ "## ${if name == "" then "General" else name}" ] ++ map entry entries
    );
  chapters = lib.groupBy sectionOf all;
in
''
  # Options

  Everything under `services.wisehosting`. Written by `scripts/options-doc` from the modules.

''
+ lib.concatStringsSep "\n\n" (lib.mapAttrsToList chapter chapters)
+ "\n"
