import { type InputHTMLAttributes, type ReactNode, type TextareaHTMLAttributes, useId } from "react";
import { Icon } from "./icon";

interface Common {
  label: string;
  help?: ReactNode;
  error?: string | undefined;
  optional?: boolean;
}

interface ControlProps {
  id: string;
  "aria-invalid": boolean | undefined;
  "aria-describedby": string | undefined;
}

/** Label, control, help and error, tied together for assistive technology. */
export function Field({
  label,
  help,
  error,
  optional,
  children,
}: Common & { children: (props: ControlProps) => ReactNode }) {
  const id = useId();
  const described = [help && `${id}-help`, error && `${id}-error`].filter(Boolean).join(" ");
  return (
    <div className="field">
      <label htmlFor={id}>
        {label} {optional && <span className="optional">optional</span>}
      </label>
      {children({ id, "aria-invalid": error ? true : undefined, "aria-describedby": described || undefined })}
      {error && (
        <p className="field-error" id={`${id}-error`} role="alert">
          <Icon name="close" size={12} />
          {error}
        </p>
      )}
      {help && (
        <p className="field-help" id={`${id}-help`}>
          {help}
        </p>
      )}
    </div>
  );
}

type TextFieldProps = Common &
  Omit<InputHTMLAttributes<HTMLInputElement>, "onChange" | "value"> & {
    value: string;
    onChange: (value: string) => void;
    suffix?: string;
    mono?: boolean;
  };

export function TextField({
  label,
  help,
  error,
  optional,
  value,
  onChange,
  suffix,
  mono,
  ...rest
}: TextFieldProps) {
  return (
    <Field label={label} help={help} error={error} optional={optional}>
      {(control) => (
        <div className="affixed">
          <input
            className={mono ? "input mono" : "input"}
            value={value}
            onChange={(event) => onChange(event.target.value)}
            {...control}
            {...rest}
          />
          {suffix && <span className="suffix">{suffix}</span>}
        </div>
      )}
    </Field>
  );
}

type AreaFieldProps = Common &
  Omit<TextareaHTMLAttributes<HTMLTextAreaElement>, "onChange" | "value"> & {
    value: string;
    onChange: (value: string) => void;
  };

/** Several lines of what programs read. */
export function AreaField({ label, help, error, optional, value, onChange, ...rest }: AreaFieldProps) {
  return (
    <Field label={label} help={help} error={error} optional={optional}>
      {(control) => (
        <textarea
          className="textarea mono"
          value={value}
          onChange={(event) => onChange(event.target.value)}
          {...control}
          {...rest}
        />
      )}
    </Field>
  );
}

export function SearchField({
  value,
  onChange,
  label,
}: {
  value: string;
  onChange: (value: string) => void;
  label: string;
}) {
  return (
    <div className="affixed">
      <span className="prefix">
        <Icon name="search" size={14} />
      </span>
      <input
        className="input"
        type="search"
        value={value}
        onChange={(event) => onChange(event.target.value)}
        placeholder={label}
        aria-label={label}
        autoComplete="off"
        spellCheck={false}
      />
    </div>
  );
}

interface ChoiceProps<T extends string> {
  legend: string;
  value: T;
  onChange: (value: T) => void;
  options: { value: T; title: string; text: string; icon?: ReactNode }[];
}

export function Choices<T extends string>({ legend, value, onChange, options }: ChoiceProps<T>) {
  const name = useId();
  return (
    <fieldset style={{ border: 0 }}>
      <legend className="visually-hidden">{legend}</legend>
      <div className="choices">
        {options.map((option) => (
          <label className="choice" key={option.value}>
            <input
              type="radio"
              name={name}
              value={option.value}
              checked={option.value === value}
              onChange={() => onChange(option.value)}
            />
            {option.icon}
            <strong>{option.title}</strong>
            <small>{option.text}</small>
          </label>
        ))}
      </div>
    </fieldset>
  );
}
