// Asking the service. Errors are what it says (application/problem+json), with what to do.

export class ApiError extends Error {
  constructor(message, status) {
    super(message);
    this.name = "ApiError";
    this.status = status;
  }
}

/**
 * @returns {Promise<any>} the JSON that is answered, or null if there is none
 * @throws {ApiError} it refuses, or cannot be reached (status 0)
 */
export async function ask(method, path, body) {
  const request = { method, credentials: "same-origin", headers: {} };
  if (body !== undefined) {
    request.headers["Content-Type"] = "application/json";
    request.body = JSON.stringify(body);
  }
  let answer;
  try {
    answer = await fetch(path, request);
  } catch {
    throw new ApiError("The service cannot be reached.", 0);
  }
  if (!answer.ok) throw await refusal(answer);
  return answer.status === 204 ? null : answer.json();
}

export async function refusal(answer) {
  const problem = await answer.json().catch(() => ({}));
  return new ApiError(problem.detail || `The service answers ${answer.status}.`, answer.status);
}

export const get = (path) => ask("GET", path);
export const post = (path, body = {}) => ask("POST", path, body);
