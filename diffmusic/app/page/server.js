// Requests to the server. Addresses are relative to the page's own, which holds the token.

async function answer(response) {
  if (response.ok) return response;
  let message = `${response.status} ${response.statusText}`;
  try { message = (await response.json()).error || message; } catch { /* no JSON: the status says it */ }
  throw new Error(message);
}

export async function get(path) {
  return (await answer(await fetch(path))).json();
}

export async function bytes(path) {
  const response = await answer(await fetch(path));
  return { partial: response.headers.has("x-partial"), response };
}

export async function post(path, form) {
  const body = form === undefined ? undefined : JSON.stringify(form);
  const response = await answer(await fetch(path, { method: "POST", body }));
  return response.status === 204 ? null : response.json();
}

export async function remove(path) {
  await answer(await fetch(path, { method: "DELETE" }));
}

/** Send a file; `progress` is called with the share that is sent. */
export function upload(file, progress) {
  return new Promise((resolve, reject) => {
    const request = new XMLHttpRequest();
    request.open("POST", `files?name=${encodeURIComponent(file.name)}`);
    request.upload.onprogress = event => progress(event.loaded / Math.max(1, event.total));
    request.onerror = () => reject(new Error("the server does not answer"));
    request.onload = () => {
      let told = {};
      try { told = JSON.parse(request.responseText); } catch { /* no JSON */ }
      if (request.status === 200) resolve(told);
      else reject(new Error(told.error || `${request.status}`));
    };
    request.send(file);
  });
}
