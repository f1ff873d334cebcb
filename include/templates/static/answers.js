// A part of every page of Airflow's (a plugin's React app with the destination "base"): says why an answer to a
// question was not stored. Airflow itself shows "Validation Error" for all refusals, and the reasons nowhere. What was
// typed stays in its form.

const { createElement, useEffect, useState } = globalThis.React;
const ANSWER = /\/api\/v2\/dags\/[^/]+\/dagRuns\/[^/]+\/taskInstances\/[^/]+\/[^/]+\/hitlDetails$/;
let show = () => {};

function reasons(request) {
  if (request.status < 400) return "";
  try {
    const { detail } = JSON.parse(request.responseText);
    return typeof detail === "string" ? detail : JSON.stringify(detail);
  } catch {
    return "Airflow does not answer as it should. Nothing was stored; try again in a moment.";
  }
}

const open = XMLHttpRequest.prototype.open;
XMLHttpRequest.prototype.open = function (method, url, ...rest) {
  if (String(method).toUpperCase() === "PATCH" && ANSWER.test(new URL(url, document.baseURI).pathname)) {
    this.addEventListener("load", () => show(reasons(this)));
  }
  return open.call(this, method, url, ...rest);
};

const BOX = {
  alignItems: "start",
  background: "var(--chakra-colors-bg-error, #fef2f2)",
  border: "1px solid var(--chakra-colors-border-error, #b91c1c)",
  borderRadius: "4px",
  display: "flex",
  gap: "1rem",
  justifyContent: "space-between",
  margin: "0 0 0.75rem",
  padding: "0.75rem 1rem",
  whiteSpace: "pre-wrap",
};

globalThis["PPS answers"] = function PpsAnswers({ dagId, runId, taskId, mapIndex }) {
  const [why, setWhy] = useState("");
  useEffect(() => setWhy(""), [dagId, runId, taskId, mapIndex]); // another page, another question
  useEffect(() => {
    show = setWhy;
    return () => {
      show = () => {};
    };
  }, []);
  if (!why) return null;
  return createElement(
    "div",
    { id: "pps-not-taken", role: "alert", style: BOX },
    createElement("span", null, createElement("strong", null, "Your answer was not taken. "), why),
    createElement("button", { "aria-label": "Close", onClick: () => setWhy(""), type: "button" }, "×"),
  );
};
