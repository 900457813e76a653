"""The few pages outside Streamlit: log in, first registration, log out, a message. Plain HTML, no script."""

from __future__ import annotations

from collections.abc import Mapping
from html import escape

STYLE = """
:root { color-scheme: light dark; --paper: #eef3f2; --card: #fbfcfc; --ink: #12201e; --quiet: #4a5a57;
  --line: #b9c8c4; --accent: #0f766e; --on-accent: #ffffff; --second: #c7d2fe; --bad: #b91c1c; --bad-paper: #fdf0f0; }
@media (prefers-color-scheme: dark) { :root { --paper: #0d1514; --card: #16211f; --ink: #e6efed; --quiet: #a3b4b0;
  --line: #3b4e4a; --accent: #2dd4bf; --on-accent: #06251f; --second: #3730a3; --bad: #fca5a5; --bad-paper: #3a1a1a; } }
* { box-sizing: border-box; }
body { margin: 0; min-height: 100vh; min-height: 100dvh; display: grid; place-items: center; padding: 1.5rem 1rem;
  background: var(--paper); color: var(--ink);
  font: 1rem/1.5 "Source Sans", "Source Sans Pro", system-ui, sans-serif; }
main { width: 100%; max-width: 25rem; background: var(--card); border: 1px solid var(--line); border-radius: .75rem;
  padding: 1.75rem 1.5rem; }
.brand { display: flex; align-items: center; gap: .6rem; margin: 0 0 1.25rem; font-weight: 600; color: var(--quiet); }
.brand svg { width: 1.75rem; height: 1.75rem; flex: none; }
h1 { margin: 0 0 .25rem; font-size: 1.5rem; line-height: 1.25; }
p { margin: 0 0 1rem; color: var(--quiet); }
label { display: block; margin-top: 1rem; font-weight: 600; }
input:not([type=checkbox]) { width: 100%; margin-top: .3rem; padding: .6rem .7rem; font: inherit; color: var(--ink);
  background: var(--paper); border: 1px solid var(--line); border-radius: .5rem; }
input[aria-invalid=true] { border-color: var(--bad); }
:focus-visible { outline: 2px solid var(--accent); outline-offset: 2px; }
.hint, .wrong { display: block; margin-top: .3rem; font-size: .9rem; color: var(--quiet); overflow-wrap: anywhere; }
.wrong { color: var(--bad); font-weight: 600; }
.alert { margin: 1rem 0 0; padding: .6rem .8rem; border-radius: .5rem; border: 1px solid var(--bad); color: var(--bad);
  background: var(--bad-paper); }
.check { display: flex; gap: .5rem; align-items: center; font-weight: 400; }
.check input { width: 1.1rem; height: 1.1rem; accent-color: var(--accent); }
button { width: 100%; margin-top: 1.5rem; padding: .7rem; font: inherit; font-weight: 600; cursor: pointer;
  color: var(--on-accent); background: var(--accent); border: 0; border-radius: .5rem; }
button:hover { filter: brightness(1.08); }
a { color: var(--accent); }
"""

MARK = (
    '<svg viewBox="0 0 32 32" aria-hidden="true"><rect width="32" height="32" rx="7" fill="var(--accent)"/>'
    '<path d="M6 20l6-7 5 4 9-10" fill="none" stroke="var(--on-accent)" stroke-width="2.6" stroke-linecap="round" '
    'stroke-linejoin="round"/><path d="M6 26h20" stroke="var(--second)" stroke-width="2.6" '
    'stroke-linecap="round"/></svg>'
)

PASSWORD_HINT = "8 to 128 characters with a capital and a small letter, a digit and a sign such as ! @ # - _"  # noqa: S105


class Form:
    """What was typed and what is wrong with it: ``errors`` by input, ``error`` of none of them."""

    def __init__(
        self,
        token: str,
        *,
        typed: dict[str, str] | None = None,
        errors: Mapping[str, str] | None = None,
        error: str = "",
    ) -> None:
        self.token = token
        self.typed = typed or {}
        self.errors = errors or {}
        self.error = error

    def input(
        self, name: str, label: str, *, kind: str = "text", complete: str, hint: str = "", required: bool = True,
        first: bool = False,
    ) -> str:  # fmt: skip
        """Return one labelled input; what was typed is kept, except passwords."""
        wrong = name in self.errors
        focused = name == next(iter(self.errors)) if self.errors else first
        notes = [f"{name}-hint"] * bool(hint) + [f"{name}-wrong"] * wrong
        value = "" if kind == "password" else self.typed.get(name, "")
        attributes = [
            f'id="{name}" name="{name}" type="{kind}" autocomplete="{complete}" maxlength="256"',
            f'value="{escape(value)}"' if value else "",
            "required" if required else "",
            "autofocus" if focused else "",
            'aria-invalid="true"' if wrong else "",
            f'aria-describedby="{" ".join(notes)}"' if notes else "",
            'autocapitalize="none" spellcheck="false"' if kind == "text" else "",
        ]
        return (
            f'<label for="{name}">{escape(label)}</label><input {" ".join(filter(None, attributes))}>'
            + (f'<span class="hint" id="{name}-hint">{escape(hint)}</span>' if hint else "")
            + (
                f'<span class="wrong" id="{name}-wrong" role="alert">{escape(label)} {escape(self.errors[name])}</span>'
                if wrong
                else ""
            )
        )

    def html(self, action: str, body: str, button: str) -> str:
        """Return the form; an error that belongs to no input stands above it."""
        hidden = f'<input type="hidden" name="form_token" value="{escape(self.token)}">'
        if wanted := self.typed.get("next"):
            hidden += f'<input type="hidden" name="next" value="{escape(wanted)}">'
        alert = f'<div class="alert" role="alert">{escape(self.error)}</div>' if self.error else ""
        return f'{alert}<form method="post" action="{action}">{hidden}{body}<button>{escape(button)}</button></form>'


def login(form: Form) -> str:
    """Return the page that asks for name and password."""
    known = bool(form.typed.get("username"))
    body = form.input("username", "Username", complete="username", first=not known)
    body += form.input("password", "Password", kind="password", complete="current-password", first=known)
    return _page("Log in", "<p>Your desk for every account of the family.</p>" + form.html("/login", body, "Log in"))


def register(form: Form, *, ask_setup_token: bool) -> str:
    """Return the page that makes the first user."""
    body = form.input(
        "username",
        "Username",
        complete="username",
        hint="3 to 32 of a-z, 0-9, _ . and -; kept in lower case",
        first=True,
    )
    body += form.input("email", "E-mail (optional)", kind="email", complete="email", required=False)
    body += form.input("password", "Password", kind="password", complete="new-password", hint=PASSWORD_HINT)
    body += form.input("again", "Password again", kind="password", complete="new-password")
    if ask_setup_token:
        body += form.input("setup_token", "Setup token", complete="off", hint="Printed on the console of the server")
    lead = "<p>Nobody has registered yet: you become the admin.</p>"
    return _page("Create the first user", lead + form.html("/register", body, "Create and log in"))


def logout(form: Form, username: str) -> str:
    """Return the page that asks whether to log out."""
    body = '<label class="check"><input type="checkbox" name="everywhere" value="yes"> On all devices</label>'
    lead = f"<p>You are logged in as {escape(username)}. Logging out stops nothing that trades.</p>"
    return _page(
        "Log out?", lead + form.html("/logout", body, "Log out") + '<p><br><a href="/">Back to the desk</a></p>'
    )


def message(title: str, text: str) -> str:
    """Return a page with one message."""
    return _page(title, f'<p role="alert">{escape(text)}</p><p><a href="/">Try again</a></p>')


def bounce(target: str) -> str:
    """Return a page that goes on to ``target`` by itself, from here, so that the Strict cookie goes along."""
    head = f'<meta http-equiv="refresh" content="0;url={escape(target)}">'
    return _page("One moment", f'<p><a href="{escape(target)}">Go on</a></p>', head=head)


def _page(title: str, body: str, *, head: str = "") -> str:
    return (
        '<!DOCTYPE html><html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        f"{head}<title>{escape(title)} · AlgoMirror</title>"
        f'<link rel="icon" href="/favicon.png"><style>{STYLE}</style></head>'
        f'<body><main><div class="brand">{MARK}<span>AlgoMirror</span></div>'
        f"<h1>{escape(title)}</h1>{body}</main></body></html>"
    )
