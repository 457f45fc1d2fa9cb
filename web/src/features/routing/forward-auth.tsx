import { AreaField, TextField } from "@/components/field";
import type { Problems, RoutingForm } from "./form";

interface Props {
  form: RoutingForm;
  onChange: (form: RoutingForm) => void;
  problems: Problems;
}

type Name = "authUrl" | "authResponse" | "authRequest" | "authSkip" | "authTimeout";

/** Who is asked about each request. */
export function ForwardAuthFields({ form, onChange, problems }: Props) {
  const field = (name: Name) => ({
    value: form[name],
    onChange: (value: string) => onChange({ ...form, [name]: value }),
    error: problems[name],
  });
  return (
    <div className="stack">
      <TextField
        label="Address of the sign-in"
        optional
        mono
        placeholder="https://auth.example.com/verify or app:SLUG/verify"
        help="It sees each request's headers. 2xx lets the request on; any other answer goes to the visitor, such as a redirect to a page to sign in. app: names an app of this project."
        {...field("authUrl")}
      />
      {form.authUrl.trim() && (
        <>
          <AreaField
            label="Headers that the app sees"
            optional
            rows={2}
            placeholder={"Remote-User\nRemote-Email"}
            help="Of the sign-in's answer, one per line. What visitors send under these names never reaches the app."
            {...field("authResponse")}
          />
          <AreaField
            label="Paths for which nobody is asked"
            optional
            rows={2}
            placeholder={"/health\n/public/*"}
            help="One per line; /* covers everything below a path."
            {...field("authSkip")}
          />
          <AreaField
            label="Headers that the sign-in sees"
            optional
            rows={2}
            placeholder={"Cookie\nAuthorization"}
            help="One per line; all when empty."
            {...field("authRequest")}
          />
          <TextField
            label="Sign-in answers within"
            suffix="s"
            inputMode="numeric"
            help="After that visitors see a page that says so; nobody gets in."
            {...field("authTimeout")}
          />
        </>
      )}
    </div>
  );
}
