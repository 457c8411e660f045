import { componentize } from '@bytecodealliance/componentize-js';
import { writeFile } from 'node:fs/promises';

const [sourcePath, witPath, out] = process.argv.slice(1);
const { component } = await componentize({ sourcePath, witPath, worldName: 'operation' });
await writeFile(out, component);
