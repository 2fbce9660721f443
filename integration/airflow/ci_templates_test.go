package airflow

import (
	"fmt"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"go.yaml.in/yaml/v3"
)

// This file reads the templates of CI systems as far as that can be done without these systems: what is YAML is parsed,
// what is shell is parsed and run, with the variables that the template sets, against the services of ci_test.go. The
// Jenkinsfile is Groovy, for which there is no parser here: its strings and brackets are checked, and its shell is run.

// ciTemplate is what a template has a CI system do.
type ciTemplate struct {
	file  string
	shell []string          // how the CI system runs a script
	steps []string          // the scripts, in order
	env   map[string]string // what the template sets for them
}

// The secrets, as the CI systems know them.
var ciSecrets = []string{"DEPLOYMENT_KEY_ID", "DEPLOYMENT_KEY_SECRET"}

func readYAML(t *testing.T, file string, value any) {
	t.Helper()
	if err := yaml.Unmarshal([]byte(readFile(t, filepath.Join(ciExamples, file))), value); err != nil {
		t.Fatalf("%s: %v", file, err)
	}
}

func githubTemplate(t *testing.T) ciTemplate {
	t.Helper()
	type step struct {
		Uses, Run string
		Env       map[string]string
	}
	var workflow struct {
		On          map[string]any
		Permissions map[string]string
		Concurrency struct {
			Group            string
			CancelInProgress *bool `yaml:"cancel-in-progress"`
		}
		Jobs map[string]struct {
			RunsOn      string `yaml:"runs-on"`
			Timeout     int    `yaml:"timeout-minutes"`
			Environment string
			Env         map[string]string
			Steps       []step
		}
	}
	readYAML(t, "github-actions.yml", &workflow)
	job, ok := workflow.Jobs["deploy"]
	if !ok || len(workflow.Jobs) != 1 || len(workflow.On) == 0 || job.RunsOn == "" || job.Timeout == 0 || job.Environment == "" || len(job.Env) != 0 {
		t.Fatalf("the workflow is %+v", workflow)
	}
	if !maps.Equal(workflow.Permissions, map[string]string{"contents": "read"}) {
		t.Errorf("the permissions are %v", workflow.Permissions)
	}
	if cancel := workflow.Concurrency.CancelInProgress; workflow.Concurrency.Group != "deploy-etl" || cancel == nil || *cancel {
		t.Errorf("the concurrency is %+v", workflow.Concurrency)
	}
	template := ciTemplate{file: "github-actions.yml", shell: []string{"bash", "-e"}, env: make(map[string]string)}
	pinned := regexp.MustCompile(`^[a-z-]+/[a-z-]+@v\d+\.\d+\.\d+$`)
	for i, step := range job.Steps {
		if step.Uses != "" {
			if !pinned.MatchString(step.Uses) || step.Run != "" {
				t.Errorf("step %d uses %s", i, step.Uses)
			}
			continue
		}
		if strings.Contains(step.Run, "${{") {
			t.Errorf("step %d has an expression in its script, where its value would be read as shell: %s", i, step.Run)
		}
		if len(step.Env) > 0 && i != len(job.Steps)-1 {
			t.Errorf("step %d, which does not deploy, has %v", i, step.Env)
		}
		template.steps = append(template.steps, step.Run)
		maps.Copy(template.env, step.Env)
	}
	for _, name := range ciSecrets {
		if template.env[name] != "${{ secrets."+name+" }}" {
			t.Errorf("%s is %q, want the secret of this name", name, template.env[name])
		}
		delete(template.env, name)
	}
	return template
}

func gitlabTemplate(t *testing.T) ciTemplate {
	t.Helper()
	type job struct {
		Stage, Image, Environment string
		ResourceGroup             string `yaml:"resource_group"`
		Timeout                   string
		Services                  []string
		Rules                     []map[string]string
		Variables                 map[string]string
		BeforeScript              []string `yaml:"before_script"`
		Script                    []string
		Artifacts                 struct {
			Paths    []string
			ExpireIn string `yaml:"expire_in"`
		}
	}
	var pipeline struct {
		Stages        []string
		Build, Deploy job
	}
	readYAML(t, "gitlab-ci.yml", &pipeline)
	build, deploy := pipeline.Build, pipeline.Deploy
	if !slices.Equal(pipeline.Stages, []string{build.Stage, deploy.Stage}) || len(build.Rules) == 0 || len(deploy.Rules) == 0 ||
		deploy.Environment == "" || deploy.Timeout == "" || !slices.Equal(build.Artifacts.Paths, []string{"image.tar"}) {
		t.Errorf("the pipeline is %+v", pipeline)
	}
	// GitLab does not put variables of an environment into the name.
	if deploy.ResourceGroup != "deploy-etl" {
		t.Errorf("the resource group is %q", deploy.ResourceGroup)
	}
	pinned := regexp.MustCompile(`^[a-z]+:\d+\.\d+`)
	for _, image := range append([]string{build.Image, deploy.Image}, build.Services...) {
		if !pinned.MatchString(image) {
			t.Errorf("the image %s has no version", image)
		}
	}
	for _, name := range ciSecrets {
		if _, set := deploy.Variables[name]; set {
			t.Errorf("%s is in the template", name)
		}
	}
	return ciTemplate{
		file: "gitlab-ci.yml", shell: []string{"bash", "-eo", "pipefail"}, env: deploy.Variables,
		steps: []string{
			strings.Join(append(build.BeforeScript, build.Script...), "\n"),
			strings.Join(append(deploy.BeforeScript, deploy.Script...), "\n"),
		},
	}
}

func jenkinsTemplate(t *testing.T) ciTemplate {
	t.Helper()
	text := readFile(t, filepath.Join(ciExamples, "Jenkinsfile"))
	template := ciTemplate{file: "Jenkinsfile", shell: []string{"sh", "-xe"}, env: make(map[string]string)}
	for _, match := range regexp.MustCompile(`(?s)\bsh '''(.*?)'''`).FindAllStringSubmatch(text, -1) {
		template.steps = append(template.steps, match[1])
	}
	for _, match := range regexp.MustCompile(`(?m)^ +([A-Z_]+) = '([^'\n]*)'$`).FindAllStringSubmatch(text, -1) {
		template.env[match[1]] = match[2]
	}
	if err := balanced(text); err != nil {
		t.Errorf("Jenkinsfile: %v", err)
	}
	for _, part := range []string{
		"disableConcurrentBuilds()", "timeout(", "withCredentials([usernamePassword(credentialsId: 'deployment-key-etl',",
		"usernameVariable: 'DEPLOYMENT_KEY_ID'", "passwordVariable: 'DEPLOYMENT_KEY_SECRET'",
	} {
		if strings.Count(text, part) != 1 {
			t.Errorf("the Jenkinsfile does not have one %s", part)
		}
	}
	// In a string in double quotes Groovy puts in the values of variables, secrets too.
	if strings.Contains(text, `"`) && regexp.MustCompile(`(?m)^[^/\n]*"`).MatchString(text) {
		t.Error("the Jenkinsfile has a string in double quotes")
	}
	return template
}

// balanced holds that the brackets of a Groovy text, outside of its comments and strings, are closed in their order.
func balanced(text string) error {
	code := regexp.MustCompile(`(?s)'''.*?'''|'(?:[^'\\\n]|\\.)*'|//[^\n]*`).ReplaceAllString(text, "")
	if strings.ContainsAny(code, `'"`) {
		return fmt.Errorf("a string is not closed")
	}
	var open []rune
	for _, c := range code {
		switch c {
		case '(', '[', '{':
			open = append(open, c)
		case ')', ']', '}':
			if len(open) == 0 || strings.IndexRune(")]}", c) != strings.IndexRune("([{", open[len(open)-1]) {
				return fmt.Errorf("%c closes nothing", c)
			}
			open = open[:len(open)-1]
		}
	}
	if len(open) > 0 {
		return fmt.Errorf("%q is not closed", string(open))
	}
	return nil
}

func ciTemplates(t *testing.T) []ciTemplate {
	t.Helper()
	return []ciTemplate{githubTemplate(t), gitlabTemplate(t), jenkinsTemplate(t)}
}

// TestCITemplates checks what the templates say, and that their scripts are shell.
func TestCITemplates(t *testing.T) {
	for _, template := range ciTemplates(t) {
		if len(template.steps) != 2 {
			t.Errorf("%s has %d scripts, want a build and a deploy", template.file, len(template.steps))
		}
		if strings.Contains(readFile(t, filepath.Join(ciExamples, template.file)), "dks_") {
			t.Errorf("%s has a secret", template.file)
		}
		for _, name := range []string{"GATEWAY", "ORGANIZATION", "DEPLOYMENT", "IMAGE", "DAG_ID"} {
			if template.env[name] == "" {
				t.Errorf("%s does not set %s", template.file, name)
			}
		}
		for _, step := range template.steps {
			check := exec.Command(template.shell[0], "-n")
			check.Stdin = strings.NewReader(step)
			if out, err := check.CombinedOutput(); err != nil {
				t.Errorf("%s: %v\n%s\n%s", template.file, err, out, step)
			}
		}
	}
}

func TestBalanced(t *testing.T) {
	for text, ok := range map[string]bool{
		"a { b([c: 'd']) }": true, "a { // }\n}": true, "sh ''' { '''": true,
		"a {": false, "a }": false, "a { ( } )": false, "a 'b": false,
	} {
		if err := balanced(text); (err == nil) != ok {
			t.Errorf("%q: %v", text, err)
		}
	}
}

// templates runs each template in a folder that is like a checkout. Stand-ins for docker and apt-get are in PATH: an image
// is not built, but one is saved, and nothing is installed.
func (s *ciSite) templates(t *testing.T) {
	s.program(t, "docker", fmt.Sprintf(`case "$1 $2" in
"build --tag") test -f "$4/Dockerfile" ;;
"save --output") exec skopeo copy --quiet %s "docker-archive:$3:$4" ;;
*) echo "docker $*" >&2; exit 1 ;;
esac
`, s.image))
	s.program(t, "apt-get", `case "$1" in
update) ;;
install) case " $* " in *" --yes "*" ca-certificates curl jq skopeo "*) ;; *) exit 1 ;; esac ;;
*) exit 1 ;;
esac
`)
	for _, template := range ciTemplates(t) {
		t.Run(template.file, func(t *testing.T) {
			checkout := t.TempDir()
			for file, content := range map[string]string{"ci/deploy.sh": readFile(t, ciExamples+"/deploy.sh"), "Dockerfile": "FROM scratch\n"} {
				path := filepath.Join(checkout, file)
				if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
					t.Fatal(err)
				}
				if err := os.WriteFile(path, []byte(content), 0o700); err != nil {
					t.Fatal(err)
				}
			}
			env := []string{"PATH=" + s.bin + ":" + os.Getenv("PATH"), "HOME=" + checkout, "TLS_VERIFY=false", "RUN_TIMEOUT=240"}
			for name, value := range template.env {
				env = append(env, name+"="+strings.Replace(value, "https://gateway.example.com", s.site(""), 1))
			}
			build, deploy := template.steps[0], template.steps[1]
			s.job(t, s.fullKey, checkout, env, append(template.shell, "-c", build)...).want(t, 0)

			before := s.succeeded(t)
			env = append(env, "DEPLOYMENT_KEY_ID="+s.fullKey.ID, "DEPLOYMENT_KEY_SECRET="+s.fullKey.Secret)
			s.job(t, s.fullKey, checkout, env, append(template.shell, "-c", deploy)...).
				want(t, 0, "deploy: pushed ", "deploy: deployed ", " of hello has succeeded")
			if after := s.succeeded(t); after != before+1 {
				t.Errorf("%d runs of hello have succeeded, %d before", after, before)
			}
			env = append(env, "DEPLOYMENT_KEY_SECRET="+s.fullKey.Secret+"x")
			s.job(t, s.fullKey, checkout, env, append(template.shell, "-c", deploy)...).want(t, 3, "no login")
		})
	}
}
