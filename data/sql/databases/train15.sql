CREATE TABLE bakers (kingdom TEXT, inputs INTEGER, jockey TEXT, forum TEXT);
INSERT INTO bakers VALUES
('Yibski', 811, 'Hosski', 'Kerski'),
('Tomum', 777, 'Yadoff', 'Neboff'),
('Ligin', 618, 'Yadoff', 'Kerski'),
('Levum', 610, 'Hosski', 'Zubon'),
('Tutski', 477, 'Zegis', 'Kever'),
('Kinis', 372, 'Hosski', 'Kever'),
('Zagov', 198, 'Zegis', 'Neboff'),
('Peber', 525, 'Jizis', 'Zubon'),
('Pamoff', 371, 'Hosski', 'Hasel'),
('Hapski', 436, 'Yadoff', 'Gugis');

CREATE TABLE pigs (forum TEXT, volume INTEGER, plate TEXT);
INSERT INTO pigs VALUES
('Kerski', 876, 'Rukum'),
('Zubon', 434, 'Junin'),
('Kever', 603, 'Junin'),
('Neboff', 843, 'Teroff'),
('Hasel', 946, 'Rukum'),
('Gugis', 168, 'Junin');

CREATE TABLE comics (desk TEXT, timers INTEGER, series TEXT, poem TEXT);
INSERT INTO comics VALUES
('Vamov', 561, 'Metic', 'Venis'),
('Mudel', 863, 'Vomon', 'Ferer'),
('Gunoff', 646, 'Nikak', 'Pabov'),
('Wulin', 936, 'Metic', 'Vanski'),
('Jomis', 907, 'Wabak', 'Pabov'),
('Maron', 57, 'Metic', 'Vanski'),
('Wubis', 479, 'Metic', 'Ferer'),
('Duvon', 930, 'Wabak', 'Sasis'),
('Wudum', 150, 'Nikak', 'Sasis'),
('Pilic', 533, 'Nikak', 'Rokov');

CREATE TABLE wells (poem TEXT, bonds INTEGER, gunner TEXT);
INSERT INTO wells VALUES
('Sasis', 687, 'Yopak'),
('Pabov', 152, 'Legum'),
('Ferer', 828, 'Yopak'),
('Vanski', 260, 'Leloff'),
('Rokov', 458, 'Yopak'),
('Venis', 73, 'Leloff');

CREATE TABLE mules (bride TEXT, wage INTEGER, body TEXT, figure TEXT);
INSERT INTO mules VALUES
('Kavov', 849, 'Posis', 'Dibum'),
('Tanum', 391, 'Posis', 'Tekum'),
('Lufum', 295, 'Vesov', 'Kolski'),
('Rupen', 583, 'Vesov', 'Digov'),
('Segoff', 642, 'Vesov', 'Tekum'),
('Jadov', 225, 'Kopum', 'Dibum'),
('Tobak', 521, 'Demov', 'Sidak'),
('Linel', 455, 'Kopum', 'Hofen'),
('Fipak', 949, 'Vesov', 'Sidak'),
('Rapov', 410, 'Posis', 'Hofen');

CREATE TABLE inns (figure TEXT, wires INTEGER, venue TEXT);
INSERT INTO inns VALUES
('Tekum', 126, 'Nifer'),
('Sidak', 825, 'Nifer'),
('Dibum', 354, 'Repak'),
('Hofen', 765, 'Nifer'),
('Digov', 456, 'Repak'),
('Kolski', 302, 'Lazer');

CREATE TABLE motors (vault TEXT, trades INTEGER, plate TEXT, tune TEXT);
INSERT INTO motors VALUES
('Fulum', 566, 'Putis', 'Muroff'),
('Yafum', 806, 'Nozer', 'Digon'),
('Jidis', 178, 'Remen', 'Digon'),
('Tiric', 376, 'Putis', 'Jokic'),
('Wuvski', 432, 'Putis', 'Nidel'),
('Migen', 144, 'Fagov', 'Muroff'),
('Gavum', 785, 'Putis', 'Hagov'),
('Dapum', 419, 'Fagov', 'Jokic'),
('Wobon', 614, 'Remen', 'Hagov'),
('Dusski', 987, 'Remen', 'Wilski');

CREATE TABLE wagons (tune TEXT, voids INTEGER, voter TEXT);
INSERT INTO wagons VALUES
('Jokic', 644, 'Poric'),
('Digon', 378, 'Lifel'),
('Hagov', 81, 'Gobic'),
('Muroff', 875, 'Gobic'),
('Nidel', 170, 'Lifel'),
('Wilski', 200, 'Lifel');

CREATE TABLE woods (style TEXT, plugs INTEGER, pier TEXT, choir TEXT);
INSERT INTO woods VALUES
('Lamak', 909, 'Vivon', 'Pivoff'),
('Wufum', 864, 'Vivon', 'Gupov'),
('Mutis', 897, 'Navis', 'Nuson'),
('Tuzic', 334, 'Jinis', 'Bapic'),
('Jokin', 250, 'Navis', 'Bonon'),
('Yizic', 590, 'Navis', 'Gupov'),
('Dipic', 833, 'Harak', 'Laric'),
('Riden', 583, 'Jinis', 'Bapic'),
('Rotel', 714, 'Vivon', 'Nuson'),
('Wudon', 372, 'Navis', 'Pivoff');

CREATE TABLE zoos (choir TEXT, heir TEXT, probes INTEGER);
INSERT INTO zoos VALUES
('Nuson', 'Rapis', 262),
('Pivoff', 'Bifen', 412),
('Bapic', 'Rapis', 451),
('Gupov', 'Rapis', 887),
('Bonon', 'Zubis', 907),
('Laric', 'Zubis', 227);

CREATE TABLE tunes (truck TEXT, bugs INTEGER, home TEXT, feature TEXT);
INSERT INTO tunes VALUES
('Mirak', 990, 'Weker', 'Lorin'),
('Kuzer', 807, 'Weker', 'Zofak'),
('Sefak', 178, 'Didak', 'Dolski'),
('Mufon', 546, 'Weker', 'Lorin'),
('Wonen', 638, 'Loren', 'Zofak'),
('Vepski', 984, 'Weker', 'Seken'),
('Puvum', 719, 'Loren', 'Wivic'),
('Barov', 336, 'Verel', 'Zeboff'),
('Pimov', 191, 'Verel', 'Seken'),
('Nukak', 956, 'Verel', 'Zeboff');

CREATE TABLE herbs (feature TEXT, cousin TEXT, slices INTEGER);
INSERT INTO herbs VALUES
('Zeboff', 'Gemon', 904),
('Zofak', 'Zinis', 177),
('Lorin', 'Zinis', 144),
('Seken', 'Bupen', 850),
('Dolski', 'Gemon', 814),
('Wivic', 'Zinis', 528);

CREATE TABLE balls (agency TEXT, part TEXT, stake INTEGER, abode TEXT);
INSERT INTO balls VALUES
('Jagin', 'Rizel', 244, 'Kozer'),
('Benski', 'Gavak', 455, 'Hilon'),
('Jidis', 'Wimis', 949, 'Wogoff'),
('Kaper', 'Wimis', 711, 'Hilon'),
('Denic', 'Wimis', 448, 'Kozer'),
('Tunon', 'Rizel', 776, 'Menski'),
('Puben', 'Rizel', 943, 'Favoff'),
('Govum', 'Pobin', 663, 'Sigen'),
('Duper', 'Wimis', 153, 'Sigen'),
('Migov', 'Pobin', 837, 'Wogoff');

CREATE TABLE letters (abode TEXT, team TEXT, roofs INTEGER);
INSERT INTO letters VALUES
('Kozer', 'Lafis', 273),
('Sigen', 'Hidon', 496),
('Hilon', 'Lafis', 867),
('Wogoff', 'Lafis', 898),
('Menski', 'Werak', 878),
('Favoff', 'Werak', 607);

CREATE TABLE bees (stage TEXT, member TEXT, seconds INTEGER, lady TEXT);
INSERT INTO bees VALUES
('Noger', 'Dosoff', 208, 'Nuner'),
('Hinov', 'Fezon', 172, 'Vanel'),
('Gener', 'Dosoff', 935, 'Defen'),
('Lidic', 'Fezon', 355, 'Furoff'),
('Rolel', 'Guloff', 20, 'Tudak'),
('Reber', 'Fezon', 37, 'Vuvin'),
('Vigum', 'Wonel', 126, 'Defen'),
('Hepoff', 'Dosoff', 885, 'Vuvin'),
('Wigon', 'Dosoff', 673, 'Nuner'),
('Mabic', 'Guloff', 898, 'Tudak');

CREATE TABLE axes (lady TEXT, grip TEXT, torque INTEGER);
INSERT INTO axes VALUES
('Defen', 'Bapon', 421),
('Nuner', 'Povin', 767),
('Tudak', 'Vavak', 384),
('Vuvin', 'Bapon', 496),
('Vanel', 'Povin', 281),
('Furoff', 'Bapon', 654);

CREATE TABLE vases (donor TEXT, ocean TEXT, packs INTEGER, thing TEXT);
INSERT INTO vases VALUES
('Hosov', 'Waden', 66, 'Pezic'),
('Haven', 'Jupen', 16, 'Wuren'),
('Jeris', 'Jupen', 112, 'Yuzak'),
('Famoff', 'Waden', 771, 'Wibak'),
('Zubic', 'Weger', 41, 'Pizis'),
('Yanic', 'Waden', 903, 'Wuren'),
('Giroff', 'Weger', 748, 'Disen'),
('Fobov', 'Jupen', 651, 'Disen'),
('Baker', 'Waden', 666, 'Pezic'),
('Wekon', 'Fuvin', 474, 'Yuzak');

CREATE TABLE barbers (thing TEXT, setter TEXT, loans INTEGER);
INSERT INTO barbers VALUES
('Disen', 'Turen', 118),
('Pezic', 'Jofin', 604),
('Yuzak', 'Fabon', 464),
('Wuren', 'Turen', 216),
('Pizis', 'Turen', 170),
('Wibak', 'Jofin', 657);

CREATE TABLE peppers (racer TEXT, craft TEXT, drums INTEGER, method TEXT);
INSERT INTO peppers VALUES
('Loder', 'Wagum', 913, 'Lizoff'),
('Ronis', 'Gidic', 342, 'Togon'),
('Turoff', 'Timak', 47, 'Foton'),
('Hefel', 'Wagum', 403, 'Foton'),
('Yifak', 'Zafum', 753, 'Dakin'),
('Tofic', 'Timak', 932, 'Meker'),
('Bubel', 'Gidic', 962, 'Dakin'),
('Murak', 'Wagum', 723, 'Lizoff'),
('Wikic', 'Wagum', 983, 'Horer'),
('Jogic', 'Timak', 308, 'Togon');

CREATE TABLE rockers (method TEXT, donor TEXT, splits INTEGER);
INSERT INTO rockers VALUES
('Lizoff', 'Nazoff', 795),
('Togon', 'Jelic', 720),
('Dakin', 'Duzic', 60),
('Foton', 'Duzic', 231),
('Meker', 'Nazoff', 36),
('Horer', 'Duzic', 888);

CREATE TABLE leagues (head TEXT, scenes INTEGER, carver TEXT, donor TEXT);
INSERT INTO leagues VALUES
('Teton', 257, 'Walel', 'Masic'),
('Hoker', 380, 'Vefer', 'Tapak'),
('Joton', 144, 'Walel', 'Pabic'),
('Yepen', 807, 'Govin', 'Foroff'),
('Tasski', 585, 'Walel', 'Pabic'),
('Hefum', 377, 'Govin', 'Tapak'),
('Mavski', 895, 'Govin', 'Defis'),
('Zeden', 108, 'Vefer', 'Buton'),
('Sagov', 204, 'Walel', 'Masic'),
('Zasen', 436, 'Livak', 'Buton');

CREATE TABLE cookers (donor TEXT, steps INTEGER, singer TEXT);
INSERT INTO cookers VALUES
('Buton', 305, 'Rabon'),
('Masic', 877, 'Derum'),
('Pabic', 56, 'Rabon'),
('Tapak', 458, 'Rabon'),
('Defis', 258, 'Derum'),
('Foroff', 535, 'Notin');

CREATE TABLE cousins (rule TEXT, skin TEXT, bounces INTEGER, anthem TEXT);
INSERT INTO cousins VALUES
('Barin', 'Hubel', 369, 'Dubis'),
('Wibic', 'Siben', 209, 'Dubis'),
('Robic', 'Hubel', 985, 'Jidov'),
('Lolum', 'Yemer', 778, 'Rasum'),
('Subin', 'Hubel', 28, 'Wuzon'),
('Havel', 'Vilski', 724, 'Rasum'),
('Nipski', 'Siben', 820, 'Yuser'),
('Gerum', 'Yemer', 444, 'Ravak'),
('Beson', 'Hubel', 436, 'Wuzon'),
('Kapic', 'Yemer', 856, 'Ravak');

CREATE TABLE lambs (anthem TEXT, outlets INTEGER, vehicle TEXT);
INSERT INTO lambs VALUES
('Rasum', 934, 'Hasel'),
('Wuzon', 575, 'Hasel'),
('Dubis', 983, 'Kukak'),
('Ravak', 907, 'Fakis'),
('Yuser', 749, 'Hasel'),
('Jidov', 960, 'Fakis');

CREATE TABLE drawers (golfer TEXT, meters INTEGER, doctor TEXT, father TEXT);
INSERT INTO drawers VALUES
('Lilic', 990, 'Rapel', 'Wevov'),
('Luvak', 112, 'Tazis', 'Dibov'),
('Vipoff', 839, 'Hivis', 'Sevum'),
('Jimen', 27, 'Rapel', 'Solic'),
('Jaken', 607, 'Tazis', 'Zivon'),
('Wulin', 604, 'Kevoff', 'Zivon'),
('Wuben', 586, 'Rapel', 'Sevum'),
('Kodski', 823, 'Rapel', 'Vomon'),
('Joron', 498, 'Tazis', 'Dibov'),
('Malski', 35, 'Hivis', 'Vomon');

CREATE TABLE angels (father TEXT, offer TEXT, fights INTEGER);
INSERT INTO angels VALUES
('Zivon', 'Feric', 529),
('Vomon', 'Zoton', 839),
('Sevum', 'Feric', 744),
('Dibov', 'Zoton', 940),
('Solic', 'Feric', 266),
('Wevov', 'Tegis', 504);

CREATE TABLE scarves (cabin TEXT, series TEXT, panels INTEGER, castle TEXT);
INSERT INTO scarves VALUES
('Fozak', 'Musak', 357, 'Dopski'),
('Hipen', 'Vupis', 658, 'Bimak'),
('Muren', 'Janic', 30, 'Gugis'),
('Gumski', 'Vupis', 785, 'Regov'),
('Pinon', 'Muler', 445, 'Dopski'),
('Dokum', 'Janic', 246, 'Regov'),
('Viron', 'Janic', 609, 'Jonski'),
('Labis', 'Muler', 31, 'Kofov'),
('Jabak', 'Muler', 753, 'Gugis'),
('Livic', 'Muler', 719, 'Kofov');

CREATE TABLE dams (castle TEXT, leaves INTEGER, paper TEXT);
INSERT INTO dams VALUES
('Regov', 820, 'Yiker'),
('Kofov', 882, 'Digon'),
('Dopski', 364, 'Digon'),
('Gugis', 105, 'Tibin'),
('Bimak', 318, 'Digon'),
('Jonski', 60, 'Yiker');

CREATE TABLE swans (cause TEXT, logo TEXT, acts INTEGER, chapter TEXT);
INSERT INTO swans VALUES
('Bokon', 'Tukum', 585, 'Gufov'),
('Fokon', 'Gezov', 845, 'Godoff'),
('Relski', 'Gezov', 445, 'Hiris'),
('Suvin', 'Gezov', 11, 'Wuzen'),
('Hevak', 'Juzic', 295, 'Jumoff'),
('Tovon', 'Tukum', 197, 'Linen'),
('Wizic', 'Widov', 857, 'Gufov'),
('Fevon', 'Tukum', 127, 'Godoff'),
('Gomum', 'Widov', 943, 'Hiris'),
('Tetin', 'Tukum', 481, 'Jumoff');

CREATE TABLE camels (chapter TEXT, stone TEXT, draws INTEGER);
INSERT INTO camels VALUES
('Jumoff', 'Medoff', 488),
('Gufov', 'Yinin', 279),
('Godoff', 'Hivak', 708),
('Hiris', 'Hivak', 944),
('Wuzen', 'Hivak', 130),
('Linen', 'Yinin', 429);

CREATE TABLE silos (terrain TEXT, fans INTEGER, method TEXT, part TEXT);
INSERT INTO silos VALUES
('Yelin', 641, 'Devum', 'Dafen'),
('Lobis', 776, 'Zenum', 'Dafen'),
('Nuson', 836, 'Zenum', 'Dibum'),
('Jusak', 422, 'Zenum', 'Yidin'),
('Bific', 842, 'Sefen', 'Yidin'),
('Rilum', 662, 'Sefen', 'Sapel'),
('Sosak', 366, 'Sefen', 'Fufer'),
('Sonak', 174, 'Dodis', 'Torer'),
('Fuvel', 796, 'Zenum', 'Sapel'),
('Yiboff', 978, 'Devum', 'Dibum');

CREATE TABLE cattle (part TEXT, inputs INTEGER, mood TEXT);
INSERT INTO cattle VALUES
('Sapel', 252, 'Yotov'),
('Yidin', 869, 'Hunen'),
('Dibum', 776, 'Hunen'),
('Dafen', 798, 'Yotov'),
('Fufer', 261, 'Hunen'),
('Torer', 636, 'Vumis');

CREATE TABLE texts (pet TEXT, replies INTEGER, mammal TEXT, party TEXT);
INSERT INTO texts VALUES
('Famen', 530, 'Puber', 'Podak'),
('Lelen', 929, 'Puber', 'Yaver'),
('Razer', 737, 'Puber', 'Podak'),
('Busic', 889, 'Juken', 'Gumak'),
('Vimen', 89, 'Wedak', 'Yaver'),
('Kazer', 701, 'Rutski', 'Jimoff'),
('Fibis', 807, 'Rutski', 'Molski'),
('Bovin', 673, 'Puber', 'Jimoff'),
('Resov', 677, 'Rutski', 'Sakoff'),
('Napak', 545, 'Juken', 'Sakoff');

CREATE TABLE roads (party TEXT, memory INTEGER, tenor TEXT);
INSERT INTO roads VALUES
('Yaver', 41, 'Hofon'),
('Sakoff', 599, 'Wugak'),
('Podak', 313, 'Hofon'),
('Jimoff', 844, 'Wugak'),
('Gumak', 133, 'Tevel'),
('Molski', 36, 'Wugak');

CREATE TABLE fences (belt TEXT, gunner TEXT, splits INTEGER, pal TEXT);
INSERT INTO fences VALUES
('Tedin', 'Zevski', 552, 'Zuzak'),
('Dopic', 'Setic', 650, 'Zuzak'),
('Yamski', 'Buvel', 264, 'Kuvis'),
('Zotov', 'Jezer', 850, 'Kuvis'),
('Pinak', 'Zevski', 978, 'Popic'),
('Vomin', 'Buvel', 956, 'Vizis'),
('Lemoff', 'Setic', 694, 'Vizis'),
('Manak', 'Buvel', 523, 'Pisis'),
('Saron', 'Buvel', 534, 'Pisis'),
('Luner', 'Setic', 234, 'Bufin');

CREATE TABLE films (pal TEXT, bench TEXT, roses INTEGER);
INSERT INTO films VALUES
('Vizis', 'Jipoff', 973),
('Zuzak', 'Jipoff', 520),
('Pisis', 'Wagov', 603),
('Kuvis', 'Wagov', 914),
('Popic', 'Fofov', 441),
('Bufin', 'Jipoff', 711);

CREATE TABLE trucks (heir TEXT, rock TEXT, slope INTEGER, finder TEXT);
INSERT INTO trucks VALUES
('Rosel', 'Jopis', 702, 'Bedak'),
('Zuvon', 'Dumon', 852, 'Yevic'),
('Tuzen', 'Yeber', 132, 'Zider'),
('Gobski', 'Jopis', 366, 'Ravov'),
('Yafoff', 'Dumon', 580, 'Zider'),
('Keter', 'Vasski', 570, 'Bedak'),
('Gukoff', 'Dumon', 91, 'Ravov'),
('Julak', 'Dumon', 867, 'Febon'),
('Nafum', 'Yeber', 347, 'Yobum'),
('Jumoff', 'Yeber', 824, 'Yevic');

CREATE TABLE hamlets (finder TEXT, jockey TEXT, crowd INTEGER);
INSERT INTO hamlets VALUES
('Yevic', 'Leven', 802),
('Ravov', 'Jufin', 645),
('Bedak', 'Jufin', 67),
('Zider', 'Leven', 572),
('Yobum', 'Wanic', 736),
('Febon', 'Leven', 60);

CREATE TABLE plazas (league TEXT, brother TEXT, sacks INTEGER, grip TEXT);
INSERT INTO plazas VALUES
('Fezski', 'Tukak', 985, 'Raler'),
('Kirski', 'Tukak', 194, 'Teboff'),
('Gunon', 'Mivski', 25, 'Teboff'),
('Yadski', 'Mivski', 565, 'Gilis'),
('Gizen', 'Zedoff', 592, 'Gilis'),
('Nesel', 'Tukak', 637, 'Zanak'),
('Varis', 'Mivski', 581, 'Zanak'),
('Nolon', 'Tukak', 47, 'Dirin'),
('Tever', 'Dofon', 761, 'Dirin'),
('Vidin', 'Zedoff', 441, 'Yaler');

CREATE TABLE bodies (grip TEXT, flats INTEGER, lens TEXT);
INSERT INTO bodies VALUES
('Dirin', 777, 'Yadoff'),
('Zanak', 591, 'Danov'),
('Gilis', 973, 'Danov'),
('Teboff', 758, 'Novov'),
('Yaler', 97, 'Yadoff'),
('Raler', 444, 'Danov');
