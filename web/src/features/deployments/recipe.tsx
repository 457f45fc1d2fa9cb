import { Link } from "react-router";
import type { Recipe } from "@/api/types";
import { CopyButton } from "@/components/copy";
import { Icon } from "@/components/icon";

/** How a source without a Containerfile is built. */
export function RecipeCard({ app, recipe }: { app: string; recipe: Recipe }) {
  return (
    <section className="card" aria-label="Preset">
      <details className="more">
        <summary>
          <Icon name="chevron" size={14} />
          Built with the preset {recipe.preset} <span className="hint">{recipe.because.join(" · ")}</span>
        </summary>
        <div className="card-body stack" style={{ paddingTop: 0 }}>
          {recipe.others.length > 0 && (
            <p className="small">
              <code>{recipe.others.join(", ")}</code> would fit too: choose it in the{" "}
              <Link className="link" to={`/apps/${app}/settings`}>
                settings
              </Link>
              , or by <code>preset</code> in <code>[build]</code> of wisehosting.toml.
            </p>
          )}
          <div className="code">
            <pre>{recipe.containerfile}</pre>
            <CopyButton text={recipe.containerfile}>Copy</CopyButton>
          </div>
          <p className="small muted">
            <code>wh init --eject</code> puts this Containerfile into the source, to change it there.
          </p>
        </div>
      </details>
    </section>
  );
}
