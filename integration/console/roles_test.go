package console

import (
	"fmt"
	"net/http"
	"slices"
	"strings"
	"testing"

	"github.com/deploymentkeys/gateway/integration/gatewaytest"
)

// TestViewerSeesNothingToPress opens everything that a viewer can open. What there is to press is for reading.
func TestViewerSeesNothingToPress(t *testing.T) {
	eachStore(t, func(t *testing.T, s *site) {
		s.newDeployment(t, "etl", "Nightly ETL")
		s.putMember(t, "etl", stranger, "editor")
		s.NewKey(t, "etl")
		reading := []string{"Copy", "Previous", "Next", "deploy.sh", "Skip to the content", "Deployment Keys", "Deployments", "Your token", "Nightly ETL", "API Keys", "API Keys 1", "Connect", "Copy token"}
		for _, user := range []string{viewer, stranger} {
			b := openBrowser(t, s, user)
			for _, path := range []string{"/deployments", "/deployments/etl", "/deployments/etl/keys", "/deployments/etl/members", "/deployments/etl/audit", "/deployments/etl/connect", "/token"} {
				b.open(path)
				b.settled()
				for _, words := range b.toPress() {
					if !slices.Contains(reading, words) && !strings.HasPrefix(words, "Copy") {
						t.Errorf("%s sees %q at %s", user, words, path)
					}
				}
				if strings.HasSuffix(path, "/members") || strings.HasSuffix(path, "/audit") {
					b.see("This is not for your role")
				}
			}
			b.open("/deployments/etl")
			b.see("CI") // the key is there to be read
			b.wantQuiet()
		}
	})
}

// toPress are the words of all links, buttons and fields in view.
func (b *browser) toPress() []string {
	b.t.Helper()
	return eval[[]string](b, `() => {`+inView+`
		return [...document.querySelectorAll("a[href], button, select, input:not([type=search], [type=url], [name=deployment]), textarea, summary")]
			.filter((element) => element.checkVisibility({visibilityProperty: true}) && !element.disabled)
			.map((element) => plain(element.getAttribute("aria-label") ?? element.innerText));
	}`)
}

// fetch makes a call from the page in view, as the modules of the console do, and returns the status of the answer.
func (b *browser) fetch(method, path, body string) int {
	b.t.Helper()
	return eval[int](b, `async (method, path, body) => (await fetch(path, {method, body: body || undefined, headers: {
		"X-Requested-With": "deployment-console", ...(body ? {"Content-Type": "application/json"} : {})}})).status`, method, path, body)
}

// state is all that a viewer could have changed, as text.
func (s *site) state(t *testing.T) string {
	t.Helper()
	var all strings.Builder
	for _, path := range []string{"/deployments", "/deployments/etl/keys", "/deployments/etl/members", "/signing_keys"} {
		all.Write(gatewaytest.Call(t, http.MethodGet, s.Admin(path), nil).Want(http.StatusOK).Body)
	}
	return all.String()
}

// TestStrangerLearnsNothing: a Deployment of which one is no member looks as one that does not exist.
func TestStrangerLearnsNothing(t *testing.T) {
	t.Parallel()
	s := startSite(t, embedded(t))
	s.newDeployment(t, "etl", "Nightly ETL")
	b := openBrowser(t, s, stranger)
	b.see("You are a member of no Deployment.")
	for _, id := range []string{"etl", "there-is-none"} {
		for _, tab := range []string{"keys", "connect"} {
			b.open("/deployments/" + id + "/" + tab)
			b.settled()
			b.see(fmt.Sprintf("Deployment %q does not exist.", id))
			b.seeNot("Nightly ETL")
			if b.has("Add API Key") || b.has("Edit Deployment") || b.has("Members") {
				t.Error("there are buttons for a Deployment that is not there for this user")
			}
		}
	}
	b.wantQuiet("404")
}
