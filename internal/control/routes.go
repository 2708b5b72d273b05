package control

import (
	"encoding/json"
	"net/http"
)

// route is one thing that can be asked for or ordered.
type route struct {
	method, path string // the path without its version
	access       Access
	summary      string // what a peer may do with it: "stop an experiment"
	query        []parameter
	request      any    // what the body is; nil: there is none
	answer       any    // what the answer is; nil: there is none
	stream       bool   // the answers are server-sent events
	upgrade      string // protocol that the connection changes to; "": it stays with HTTP
	long         bool   // it takes as long as somebody reads

	// handle returns the answer; nil: it has written that itself.
	handle func(*Server, http.ResponseWriter, *http.Request) (any, error)
}

// parameter is one of the query of a route.
type parameter struct{ name, words string }

var (
	idParameter    = parameter{"id", "only these experiments; may be given again; that of a matrix stands for its members"}
	tagParameter   = parameter{"tag", "only experiments with one of these tags; may be given again"}
	sinceParameter = parameter{"since", "only what is not older than this time, RFC 3339"}
	linesParameter = parameter{"lines", "only the newest so many"}

	followParameter = parameter{"follow", "true: go on with what comes"}
)

// routes is all that a brainjar answers.
var routes []route

func init() { // what a route does refers to the table, to describe it
	routes = []route{
		{method: "GET", path: "/version", access: Read, summary: "ask for the version", answer: Versions{}, handle: (*Server).getVersion},
		{method: "GET", path: "/openapi.json", access: Read, summary: "read this description", answer: json.RawMessage{}, handle: (*Server).getDescription},
		{method: "GET", path: "/status", access: Read, summary: "see how everything stands", query: []parameter{idParameter, tagParameter}, answer: Status{}, handle: (*Server).getStatus},
		{method: "GET", path: "/experiments/{id}", access: Read, summary: "see how an experiment stands", answer: Experiment{}, handle: (*Server).getExperiment},
		{method: "GET", path: "/experiments/{id}/why", access: Read, summary: "ask why an experiment stands so", answer: Why{}, handle: (*Server).getWhy},
		{method: "PUT", path: "/experiments/{id}", access: Act, summary: "submit an experiment", request: SubmitRequest{}, answer: Experiment{}, handle: (*Server).submit},
		{method: "PATCH", path: "/experiments/{id}", access: Act, summary: "change limits of an experiment", request: SetRequest{}, answer: Experiment{}, handle: (*Server).set},
		{method: "POST", path: "/experiments/{id}/start", access: Act, summary: "start an experiment", request: StartRequest{}, answer: Experiment{}, handle: (*Server).start},
		order("stop", "stop an experiment"),
		order("restart", "restart an experiment"),
		order("release", "release a held experiment"),
		order("freeze", "take the CPU from an experiment"),
		order("thaw", "give the CPU back to an experiment"),
		order("enable", "let an experiment start with brainjar"),
		order("disable", "keep an experiment from starting with brainjar"),
		order("auto", "take enable and disable back"),
		order("forget", "let a submitted experiment go that has ended"),
		{method: "POST", path: "/experiments/{id}/hold", access: Act, summary: "hold an experiment", request: HoldRequest{}, answer: Experiment{}, handle: (*Server).hold},
		{method: "POST", path: "/experiments/{id}/kill", access: Act, summary: "send a signal to an experiment", request: KillRequest{}, answer: Experiment{}, handle: (*Server).kill},
		{method: "POST", path: "/experiments/{id}/adopt", access: Admin, summary: "adopt a process", request: AdoptRequest{}, answer: Experiment{}, handle: (*Server).adopt},
		{method: "POST", path: "/experiments/{id}/exec", access: Act, summary: "run an experiment in the foreground", request: ExecRequest{}, upgrade: execProtocol, long: true, answer: ExecTold{}, handle: (*Server).exec},
		{method: "POST", path: "/release", access: Act, summary: "release all that is held, and reset the circuit breaker", handle: (*Server).releaseAll},
		{method: "GET", path: "/plan", access: Read, summary: "ask what a reload would do", answer: Plan{}, handle: (*Server).plan},
		{method: "POST", path: "/reload", access: Admin, summary: "reload the configuration", request: ReloadRequest{}, answer: Plan{}, handle: (*Server).reload},
		{method: "GET", path: "/events", access: Read, summary: "follow what happens", stream: true, long: true, answer: Event{}, handle: (*Server).events,
			query: []parameter{idParameter, {"after", "those after the event with this id, as Last-Event-ID"}, linesParameter, followParameter}},
		{method: "GET", path: "/logs", access: Read, summary: "read the output of experiments", stream: true, long: true, answer: Line{}, handle: (*Server).logs,
			query: []parameter{idParameter, sinceParameter, linesParameter, {"run", "only this run"}, followParameter}},
		{method: "GET", path: "/history", access: Read, summary: "see the runs of the past", long: true, answer: []json.RawMessage{}, handle: (*Server).history,
			query: []parameter{idParameter, sinceParameter, linesParameter, {"result", "only runs with one of these results; may be given again"}}},
		{method: "GET", path: "/sensors", access: Read, summary: "see what the machine feels", answer: json.RawMessage{}, handle: (*Server).sensors},
	}
}

// order is a route that gives an order which needs no more words.
func order(name, summary string) route {
	return route{method: "POST", path: "/experiments/{id}/" + name, access: Act, summary: summary, answer: Experiment{},
		handle: func(s *Server, _ http.ResponseWriter, q *http.Request) (any, error) { return s.order(q, name) }}
}

// Versions is the answer to GET /v1/version.
type Versions struct {
	Version string `json:"version"`
	API     string `json:"api"`
}
