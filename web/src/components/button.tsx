import type { ButtonHTMLAttributes, ReactNode } from "react";
import { Link, type LinkProps } from "react-router";
import { Icon, type IconName } from "./icon";

type Kind = "primary" | "secondary" | "ghost" | "danger" | "danger-quiet";

interface Look {
  kind?: Kind;
  small?: boolean;
  icon?: IconName;
  children?: ReactNode;
}

function classes({ kind = "secondary", small, icon, children }: Look) {
  return ["button", kind, small && "small", icon && !children && "icon"].filter(Boolean).join(" ");
}

type ButtonProps = Look & ButtonHTMLAttributes<HTMLButtonElement> & { busy?: boolean };

/** `busy` keeps the button in place and focused while its request runs; it does not fire again. */
export function Button({
  kind,
  small,
  icon,
  busy,
  children,
  onClick,
  type = "button",
  ...rest
}: ButtonProps) {
  return (
    <button
      type={type}
      className={classes({ kind, small, icon, children })}
      aria-busy={busy || undefined}
      aria-disabled={busy || undefined}
      onClick={busy ? (event) => event.preventDefault() : onClick}
      {...rest}
    >
      {busy ? <span className="spinner" /> : icon && <Icon name={icon} size={small ? 14 : 15} />}
      {children}
    </button>
  );
}

export function ButtonLink({ kind, small, icon, children, ...rest }: Look & LinkProps) {
  return (
    <Link className={classes({ kind, small, icon, children })} {...rest}>
      {icon && <Icon name={icon} size={small ? 14 : 15} />}
      {children}
    </Link>
  );
}

export function ExternalButton({ href, children, kind, small }: Look & { href: string }) {
  return (
    <a className={classes({ kind, small, children })} href={href} target="_blank" rel="noreferrer">
      {children}
      <Icon name="external" size={14} />
    </a>
  );
}
