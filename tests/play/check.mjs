// What the exported page's check makes of scenes: `node check.mjs FOLDER` prints the scene made whole, or a sentence, of each.
import fs from "fs";
import path from "path";
import { pathToFileURL } from "url";

const [folder] = process.argv.slice(2), { text, scenes } = JSON.parse(fs.readFileSync(0, "utf8"));
const { checked } = await import(pathToFileURL(path.join(folder, "web", "check.js")));
process.stdout.write(JSON.stringify(scenes.map((scene) => { try { return checked(scene, text); } catch (error) { return error.message; } })));
