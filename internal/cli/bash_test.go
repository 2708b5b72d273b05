package cli

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// asBrainjar in the environment makes this test program brainjar.
const asBrainjar = "BRAINJAR_AS_BRAINJAR"

func TestMain(m *testing.M) {
	if os.Getenv(asBrainjar) != "" {
		os.Exit(Main(os.Args[1:], os.Stdout, os.Stderr))
	}
	os.Exit(m.Run())
}

// words of the package bash-completion, as far as the script needs it.
const words = `
_get_comp_words_by_ref() {
	while [[ $1 == -* ]]; do [[ $1 == -n ]] && shift; shift; done
	cur=${COMP_WORDS[COMP_CWORD]} prev=${COMP_WORDS[COMP_CWORD-1]} words=("${COMP_WORDS[@]}") cword=$COMP_CWORD
}
compopt() { :; } # a builtin that works while a person presses Tab alone
__ltrim_colon_completions() { :; }
`

// A real bash completes ids, which a real brainjar knows.
func TestBashCompletes(t *testing.T) {
	hasten(t, time.Minute)
	d := newDaemon(t, looking)
	bash, err := exec.LookPath("bash")
	if err != nil {
		t.Skip("bash is not installed")
	}
	dir := t.TempDir()
	program := fmt.Sprintf("#!/bin/sh\n%s=1 exec %s '%s' \"$@\"\n", asBrainjar, os.Getenv("BRAINJAR_EMULATOR"), os.Args[0])
	if err := os.WriteFile(filepath.Join(dir, "brainjar"), []byte(program), 0o700); err != nil {
		t.Fatal(err)
	}
	script := words + `
source <(brainjar completion bash) || exit
complete_line() {
	COMP_LINE=$1 COMP_POINT=${#1} COMP_TYPE=9 COMP_KEY=9 COMPREPLY=()
	read -ra COMP_WORDS <<<"$1"
	[[ $1 == *" " ]] && COMP_WORDS+=("")
	COMP_CWORD=$((${#COMP_WORDS[@]} - 1))
	__start_brainjar brainjar "${COMP_WORDS[COMP_CWORD]}" "${COMP_WORDS[COMP_CWORD-1]}"
	echo "${COMPREPLY[*]}"
}
complete -p brainjar
complete_line "brainjar stop m"
complete_line "brainjar stop b"
complete_line "brainjar why nothing"
complete_line "brainjar relo"
complete_line "brainjar submit --restart-policy on"
`
	cmd := exec.CommandContext(t.Context(), bash, "--norc", "--noprofile", "-c", script)
	cmd.Env = append(os.Environ(), "PATH="+dir+":"+os.Getenv("PATH"), socketVariable+"="+d.socket)
	out, err := cmd.CombinedOutput()
	if err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	lines := strings.Split(strings.TrimRight(string(out), "\n"), "\n")
	if len(lines) != 6 || !strings.Contains(lines[0], "__start_brainjar") {
		t.Fatalf("bash says\n%s", out)
	}
	for i, want := range []string{"m m.1 m.2", "b big", "", "reload", "on-failure"} {
		var offered []string
		for word := range strings.FieldsSeq(lines[i+1]) {
			if !strings.ContainsAny(word, "()") { // descriptions
				offered = append(offered, word)
			}
		}
		if got := strings.Join(offered, " "); got != want {
			t.Errorf("%d: %q, want %q", i, got, want)
		}
	}
}
