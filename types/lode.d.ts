// What customer code sees in Lode's sandbox, beside the language itself. For editors and type checkers: a
// deployment does not need it.

export type Json = null | boolean | number | string | Json[] | { [key: string]: Json };

/** Which users and roles may do what with a document. */
export interface Acl {
  creator?: string;
  /** Everybody may read it. */
  gr?: boolean;
  /** Everybody may change it. */
  gw?: boolean;
  r?: string[];
  w?: string[];
  groups?: { r?: string[]; w?: string[] };
  roles?: { r?: string[]; u?: string[]; d?: string[] };
}

/** A stored entity. */
export interface Document {
  _id?: string;
  _acl?: Acl;
  /** When it was made and last changed: ISO 8601. */
  _kmd?: { ect?: string; lmt?: string; [key: string]: unknown };
  [field: string]: any;
}

// ---- requests and responses ----

export interface LodeRequest {
  method: string;
  headers: Record<string, string>;
  /** The document that is saved, or an endpoint's input. */
  body: any;
  params: Record<string, any>;
  appKey: string;
  username?: string;
  userId?: string;
  collectionName?: string;
  entityId?: string;
  targetFunction?: string;
  /** Shared by the hooks of one request. */
  tempObjectStore: Record<string, any>;
}

export interface LodeResponse {
  body: any;
  statusCode: number;
  headers: Record<string, string>;
  /** Answers the client now. */
  complete(status?: number, body?: any): never;
  /** Lets the request go on. */
  continue(): never;
  next(): never;
  /** Ends the request with the script's error. */
  error(problem?: unknown): never;
}

// ---- collections ----

export type Query = Record<string, any>;
/** `{a: 1}` keeps, `{a: 0}` leaves out, `['a']` keeps. */
export type Fields = string[] | Record<string, 0 | 1 | boolean>;
export type Sort = string | Record<string, 1 | -1> | [string, 1 | -1 | 'asc' | 'desc'][];

export interface FindOptions {
  /** At most 10,000 documents come in any case. */
  limit?: number;
  skip?: number;
  sort?: Sort;
  fields?: Fields;
}

export type Callback<T> = (error: Error | null, result: T) => void;
/** Without a callback, a promise whose failure may go unheard. */
export type Found<T> = Promise<T> & { toArray(callback?: Callback<T>): Promise<T> | undefined };

export interface UpdateOptions {
  /** All that match; by default one. */
  multi?: boolean;
  upsert?: boolean;
  arrayFilters?: ArrayFilters;
}

/**
 * Which elements of an array a `$[name]` in an update's path stands for: one filter for each name, whose conditions
 * are about the name. `{ $set: { 'lines.$[due].paid': true } }` with `[{ 'due.sum': { $gt: 0 } }]`.
 */
export type ArrayFilters = Query[];

export interface FindAndModifyOptions {
  /** Answer the document as it is afterwards. */
  new?: boolean;
  remove?: boolean;
  upsert?: boolean;
  fields?: Fields;
  arrayFilters?: ArrayFilters;
}

export interface GeoNearOptions {
  num?: number;
  limit?: number;
  maxDistance?: number;
  query?: Query;
  spherical?: boolean;
  distanceMultiplier?: number;
}
export interface GeoNearResult {
  results: { dis: number; obj: Document }[];
  ok: 1;
}

/** Each method also takes a callback as its last argument, and then returns nothing. */
export interface Collection {
  collectionName(): string;

  find(query: Query, callback: Callback<Document[]>): undefined;
  find(query: Query, options: FindOptions | Fields, callback: Callback<Document[]>): undefined;
  find(query?: Query, options?: FindOptions | Fields): Found<Document[]>;
  findAsync(query?: Query, options?: FindOptions | Fields): Promise<Document[]>;

  findOne(query: Query, callback: Callback<Document | null>): undefined;
  findOne(query: Query, options: FindOptions | Fields, callback: Callback<Document | null>): undefined;
  findOne(query?: Query, options?: FindOptions | Fields): Promise<Document | null>;
  findOneAsync(query?: Query, options?: FindOptions | Fields): Promise<Document | null>;

  insert(documents: Document | Document[], callback?: Callback<Document[]>): Promise<Document[]> | undefined;
  insertAsync(documents: Document | Document[]): Promise<Document[]>;

  save(document: Document, callback?: Callback<Document>): Promise<Document> | undefined;
  saveAsync(document: Document): Promise<Document>;

  /** How many documents matched, or were made. */
  update(query: Query, update: object, callback?: Callback<number>): Promise<number> | undefined;
  update(query: Query, update: object, options: UpdateOptions, callback?: Callback<number>): Promise<number> | undefined;
  updateAsync(query: Query, update: object, options?: UpdateOptions): Promise<number>;

  /** How many documents were removed. */
  remove(query: Query, callback?: Callback<number>): Promise<number> | undefined;
  remove(query: Query, options: { single?: boolean; justOne?: boolean }, callback?: Callback<number>): Promise<number> | undefined;
  removeAsync(query?: Query, options?: { single?: boolean; justOne?: boolean }): Promise<number>;

  findAndModify(query: Query, sort: Sort | [], update: object, callback?: Callback<Document | null>): Promise<Document | null> | undefined;
  findAndModify(query: Query, sort: Sort | [], update: object, options: FindAndModifyOptions, callback?: Callback<Document | null>): Promise<Document | null> | undefined;
  findAndModifyAsync(query: Query, sort: Sort | [], update: object, options?: FindAndModifyOptions): Promise<Document | null>;
  findAndRemove(query: Query, sort?: Sort | [], callback?: Callback<Document | null>): Promise<Document | null> | undefined;
  findAndRemoveAsync(query: Query, sort?: Sort | []): Promise<Document | null>;

  count(query?: Query | Callback<number>, callback?: Callback<number>): Promise<number> | undefined;
  countAsync(query?: Query): Promise<number>;

  distinct(field: string, callback?: Callback<any[]>): Promise<any[]> | undefined;
  distinct(field: string, query: Query, callback?: Callback<any[]>): Promise<any[]> | undefined;
  distinctAsync(field: string, query?: Query): Promise<any[]>;

  /** A reducer that is a function runs here, over at most 10,000 documents; one that is text, in the store. */
  group(keys: string[] | Record<string, any> | ((document: Document) => object), condition: Query, initial: object,
    reduce: string | ((document: Document, group: any) => void), callback: Callback<any[]>): undefined;
  groupAsync(keys: string[] | Record<string, any> | ((document: Document) => object), condition: Query, initial: object,
    reduce: string | ((document: Document, group: any) => void), finalize?: (group: any) => any): Promise<any[]>;

  geoNear(longitude: number, latitude: number, callback?: Callback<GeoNearResult>): Promise<GeoNearResult> | undefined;
  geoNear(longitude: number, latitude: number, options: GeoNearOptions, callback?: Callback<GeoNearResult>): Promise<GeoNearResult> | undefined;
  geoNearAsync(longitude: number, latitude: number, options?: GeoNearOptions): Promise<GeoNearResult>;
}

/** Written as its text wherever it is sent. */
export interface ObjectID {
  toString(): string;
  toHexString(): string;
  toJSON(): string;
  equals(other: ObjectID | string): boolean;
}

export interface CollectionAccess {
  collection(name: string): Collection;
  collectionExists(name: string, callback?: Callback<boolean>): Promise<boolean> | undefined;
  collectionExistsAsync(name: string): Promise<boolean>;
  /** Without an argument, a new one. */
  objectID(id?: string): ObjectID;
}

// ---- contexts ----

export type SecurityContext = 'user' | 'app' | 'master';

export interface BackendContext {
  getAppKey(): string;
  /** A token that the app's own API takes for the app secret until the run's deadline. */
  getAppSecret(): string | undefined;
  /** A token that the app's own API takes for the master secret until the run's deadline. */
  getMasterSecret(): string | undefined;
  /** The base of the app's own API: `https://…`. */
  getApiHost(): string | undefined;
  getAuthenticatedUserId(): string;
  getAuthenticatedUsername(): string;
  getSecurityContext(): SecurityContext | undefined;
}

export interface RequestContext {
  /** The app's key when the app or the master secret was used. */
  getAuthenticatedUserId(): string;
  getAuthenticatedUsername(): string;
  getAuthoritativeUsername(): string;
  getSecurityContext(): SecurityContext | undefined;
  getRequestId(): string | undefined;
  getApiVersion(): string | number | undefined;
  getCustomRequestProperty(name: string): any;
  /** The request's later hooks see it. */
  setCustomRequestProperty<T>(name: string, value: T): T;
  getCustomRequestProperties(): Record<string, any>;
  clientAppVersion: {
    stringValue(): string | null;
    /** NaN where the version does not say one. */
    majorVersion(): number;
    minorVersion(): number;
    patchVersion(): number;
  };
}

// ---- utilities ----

export interface EntityAcl extends Acl {
  getCreator(): string | undefined;
  getReaders(): string[];
  getWriters(): string[];
  getReaderGroups(): string[];
  getWriterGroups(): string[];
  getReaderRoles(): string[];
  getUpdateRoles(): string[];
  getDeleteRoles(): string[];
  addReader(id: string): this;
  addWriter(id: string): this;
  addReaderGroup(id: string): this;
  addWriterGroup(id: string): this;
  addReaderRole(id: string): this;
  addUpdateRole(id: string): this;
  addDeleteRole(id: string): this;
  removeReader(id: string): this;
  removeWriter(id: string): this;
  removeReaderGroup(id: string): this;
  removeWriterGroup(id: string): this;
  removeReaderRole(id: string): this;
  removeUpdateRole(id: string): this;
  removeDeleteRole(id: string): this;
  getGloballyReadable(): boolean | null;
  getGloballyWritable(): boolean | null;
  setGloballyReadable(allowed: boolean): this;
  setGloballyWritable(allowed: boolean): this;
}
export interface Entity extends Document {
  _acl: EntityAcl;
}

export interface KinveyEntity {
  (given?: string | Document): Entity;
  entity(given?: string | Document): Entity;
  isKinveyEntity(value: unknown): boolean;
}

export interface KinveyDate {
  toKinveyDateString(date: Date | string | object): string | null;
  /** `'moment'` needs the library moment in the deployment. */
  fromKinveyDateString(text: string, format?: 'date' | 'string' | 'moment'): any;
}

export interface TempObjectStore {
  get(key: string): any;
  set<T>(key: string, value: T): T;
  getAll(): Record<string, any>;
}

export interface Utils {
  base64: { encode(text: string): string; decode(text: string): string };
  /** Mustache. */
  renderTemplate(template: string, data?: object): string;
  convert: KinveyDate;
  kinveyDate: KinveyDate;
  kinveyEntity: KinveyEntity;
  tempObjectStore: TempObjectStore;
}

// ---- the rest ----

export interface Logger {
  debug(...values: unknown[]): void;
  trace(...values: unknown[]): void;
  info(...values: unknown[]): void;
  log(...values: unknown[]): void;
  warn(...values: unknown[]): void;
  error(...values: unknown[]): void;
  fatal(...values: unknown[]): void;
}

export interface ValidationProblem {
  attr: string;
  valid: false;
  msg: string | string[];
}
export interface Validation {
  doValidation(spec: Record<string, { required?: boolean; min?: any; max?: any; pattern?: string | RegExp | (string | RegExp)[] }>,
    object: object): ValidationProblem[];
}

export interface Email {
  send(from: string, to: string | string[], subject: string, body: string, ...more: (string | null | Callback<any>)[]): void;
}

export interface Push {
  send(users: Document | Document[], message: any, callback?: Callback<any>): void;
  sendMessage(users: Document | Document[], message: any, callback?: Callback<any>): void;
  broadcast(message: any, callback?: Callback<any>): void;
  broadcastMessage(message: any, callback?: Callback<any>): void;
  sendPayload(users: Document | Document[], iOSAps?: object | null, iOSExtras?: object | null, androidPayload?: object | null, callback?: Callback<any>): void;
  broadcastPayload(iOSAps?: object | null, iOSExtras?: object | null, androidPayload?: object | null, callback?: Callback<any>): void;
}

/** What Kinvey's form of handlers gets as its third argument. */
export interface Modules {
  logger: Logger;
  /** Asks the host; a promise, or nothing with a callback. */
  hostCall(name: string, args?: unknown, callback?: Callback<any>): Promise<any> | undefined;
  /** As npm's `request`. */
  request: any;
  collectionAccess: CollectionAccess;
  backendContext: BackendContext;
  requestContext: RequestContext;
  validation: Validation;
  email: Email;
  push: Push;
  utils: Utils;
  kinvey: { entity: KinveyEntity['entity']; isKinveyEntity: KinveyEntity['isKinveyEntity'] } & KinveyDate;
  kinveyEntity: KinveyEntity;
  kinveyDate: KinveyDate;
  tempObjectStore: TempObjectStore;
  /** The libraries: in the deployment if its source mentions their names. */
  async: any;
  bluebird: any;
  bson: any;
  lodash: any;
  moment: any;
  underscore: any;
  validator: any;
}

/** What a modern handler gets as its second argument. */
export interface Context extends Modules {
  fetch: typeof fetch;
}

/** `export async function onPreSave(request, context) { … }` */
export type Handler = (request: LodeRequest & { response?: never }, context: Context) => unknown;
/** `function onPreSave(request, response, modules) { … }` */
export type KinveyHandler = (request: LodeRequest, response: LodeResponse, modules: Modules) => void;

declare global {
  /** A library, or what common code of that name exports. */
  function require(name: string): any;
}
