package console

import (
	"os/exec"
	"strings"
	"testing"

	"github.com/chromedp/chromedp"

	"github.com/deploymentkeys/gateway/integration/gatewaytest"
)

// TestSeedDocuments walks the two documents step by step, by the words that they say are to be seen, and ends with the key
// in curl; then it changes the key, rotates it and deletes it.
func TestSeedDocuments(t *testing.T) {
	eachStore(t, func(t *testing.T, s *site) {
		s.newDeployment(t, "etl", "Nightly ETL")
		b := openBrowser(t, s, admin)

		// Create an API Key: "In the Cloud UI, open your Deployment."
		b.click("Nightly ETL")
		// "In the API Keys menu, click Add API Key."
		b.click("API Keys")
		b.click("Add API Key")
		// "Give the key a name and description, then click Create API Key."
		b.fill("Name", "Jenkins")
		b.fill("Description", "deploys the main branch")
		b.click("Create API Key")
		// "From here, you can copy the API key ID and secret", "the only time you will have access to see it in plain text".
		b.see("It is not shown again.")
		id, secret := b.valueOf("API Key ID"), b.valueOf("API Key Secret")
		b.click("Copy both as environment variables")
		b.wantClipboard("DEPLOYMENT_KEY_ID=" + id + "\nDEPLOYMENT_KEY_SECRET=" + secret + "\n")
		b.click("Copy API Key ID")
		b.wantClipboard(id)
		b.click("Copy API Key Secret")
		b.wantClipboard(secret)
		b.wantLocked()
		b.click("I've saved the Key Secret")
		b.see("Jenkins")
		b.see("deploys the main branch")
		b.see("by " + admin)
		b.wantGone(secret)

		if keys := s.keys(t, "etl"); len(keys) != 1 || keys[0].ID != id || keys[0].Name != "Jenkins" || keys[0].CreatedBy != admin {
			t.Errorf("the keys are %+v", keys)
		}
		if out, err := s.seedsCurl(t, id, secret); err != nil || !strings.Contains(out, "Airflow of etl for "+id) {
			t.Fatalf("the key does not work in curl: %v\n%s", err, out)
		}

		// Its properties can be changed, and nothing else is with them: somebody may have limited the key since the page was
		// loaded.
		limits := map[string]any{"scopes": []string{"airflow:read", "deploy"}, "allowed_ips": []string{"127.0.0.0/8"}}
		gatewaytest.Call(t, "PATCH", s.Admin("/deployments/etl/keys/"+id), limits).Want(200)
		b.clickIn("Jenkins", "Edit")
		b.fill("Name", "Jenkins, staging")
		b.click("Save")
		b.see("Jenkins, staging")
		limited := gatewaytest.Call(t, "GET", s.Admin("/deployments/etl/keys/"+id), nil).Want(200)
		if text := string(limited.Body); !strings.Contains(text, `"scopes":["deploy","airflow:read"]`) || !strings.Contains(text, "127.0.0.0/8") {
			t.Errorf("after the name was changed the key is %s", text)
		}

		// A new secret, with time to change it.
		b.clickIn("Jenkins, staging", "Edit")
		b.click("Rotate")
		b.click("for 1 hour")
		b.click("Rotate secret")
		b.see("The secret of until now works until")
		rotated := b.valueOf("API Key Secret")
		b.wantLocked()
		b.click("I've saved the Key Secret")
		b.see("Two secrets")
		b.wantGone(rotated)
		for which, each := range map[string]string{"old": secret, "new": rotated} {
			if out, err := s.seedsCurl(t, id, each); err != nil {
				t.Fatalf("during the overlap, the %s secret does not work: %v\n%s", which, err, out)
			}
		}
		b.clickIn("Jenkins, staging", "Edit")
		b.click("End it now")
		b.seeNot("End the previous secret")
		b.click("Cancel")
		if out, err := s.seedsCurl(t, id, secret); err == nil {
			t.Fatalf("the old secret still works: %s", out)
		}
		token := s.Token(t, s.jobs, gatewaytest.Key{ID: id, Secret: rotated})

		// Delete an API Key: "In the menu for the API key you want to delete, click Edit."
		b.clickIn("Jenkins, staging", "Edit")
		// "Click Delete API Key, then follow the onscreen prompt to finalize the deletion."
		b.click("Delete API Key")
		b.see("Jobs with the key " + id + " get no more access tokens.")
		b.fill("Type Jenkins, staging to confirm", "Jenkins, staging")
		b.click("Delete API Key")
		b.see("No API Keys yet")

		if keys := s.keys(t, "etl"); len(keys) != 0 {
			t.Errorf("the keys are %+v, want none", keys)
		}
		if out, err := s.seedsCurl(t, id, rotated); err == nil {
			t.Errorf("the deleted key works: %s", out)
		}
		gatewaytest.Call(t, "GET", s.URL(s.jobs, "/etl/api/v2/dags"), nil, gatewaytest.Bearer(token)).Want(401)

		// Who did all that, and that the deleted key was tried. It is entered within a second or so.
		await[bool](b, "the audit log to have it all", `async (path) => {
			const { events } = await (await fetch(path)).json();
			const kinds = events.map((event) => event.kind);
			return ["key.created", "key.updated", "key.rotated", "key.previous_secret_ended", "key.deleted", "request.refused"].every((kind) => kinds.includes(kind)) || null;
		}`, "/api/deployments/etl/audit")
		b.open("/deployments/etl")
		b.click("Audit")
		for _, words := range []string{"API Key created", "API Key changed", "Secret of the API Key rotated", "Previous secret ended", "API Key deleted", "Request refused", "key " + id} {
			b.see(words)
		}
		b.wantQuiet()
	})
}

// seedsCurl is the request of the seeds' second document, but for the host name, and a call of the Airflow API with the
// token that it gives. It returns what that answers, and an error when there is no token.
func (s *site) seedsCurl(t *testing.T, id, secret string) (string, error) {
	t.Helper()
	script := `
set -euo pipefail
TOKEN=$(curl --location --request POST "$AUTH/oauth/token" \
        --header "content-type: application/json" \
        --data-raw "{
            \"client_id\": \"$KEY_ID\",
            \"client_secret\": \"$KEY_SECRET\",
            \"audience\": \"astronomer-ee\",
            \"grant_type\": \"client_credentials\"}" | jq -er '.access_token')
curl --fail-with-body "$AUTH/etl/api/v2/dags" --header "Authorization: Bearer $TOKEN"
`
	cmd := exec.CommandContext(t.Context(), "bash", "-c", script)
	cmd.Env = append(cmd.Environ(), "AUTH="+s.URL(s.jobs, ""), "KEY_ID="+id, "KEY_SECRET="+secret)
	out, err := cmd.Output()
	return string(out), err
}

// wantClipboard waits until a text was copied.
func (b *browser) wantClipboard(text string) {
	b.t.Helper()
	await[bool](b, "the clipboard to have what was copied", `async (text) => await navigator.clipboard.readText() === text || null`, text)
}

// wantLocked tries what closes other dialogs.
func (b *browser) wantLocked() {
	b.t.Helper()
	for range 3 {
		b.press("\x1b") // Escape; a browser closes a dialog at the second, whatever a page says
	}
	b.do(chromedp.MouseClickXY(5, 5))
	if !b.has("I've saved the Key Secret") {
		b.t.Fatal("the dialog with the secret was closed without its button")
	}
}

// wantGone looks for a secret everywhere that a page can leave it.
func (b *browser) wantGone(secret string) {
	b.t.Helper()
	where := eval[[]string](b, `(secret) => {
		const found = [];
		const look = (where, text) => { if (String(text).includes(secret)) found.push(where); };
		look("the page", document.documentElement.outerHTML);
		for (const field of document.querySelectorAll("input, textarea, output")) look("a field", field.value);
		for (const template of document.querySelectorAll("template")) look("a template", template.innerHTML);
		look("the address", location.href);
		look("the history", JSON.stringify(history.state));
		look("localStorage", JSON.stringify({...localStorage}));
		look("sessionStorage", JSON.stringify({...sessionStorage}));
		look("cookies", document.cookie);
		look("names of windows", window.name);
		look("what was requested", performance.getEntries().map((entry) => entry.name).join());
		return found;
	}`, secret)
	if len(where) > 0 {
		b.t.Errorf("the secret is still in: %s", strings.Join(where, ", "))
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	if strings.Contains(strings.Join(b.console, "\n"), secret) {
		b.t.Error("the secret is in the browser's console")
	}
}
